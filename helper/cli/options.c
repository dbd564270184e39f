/* SPDX-License-Identifier: MIT */
/*
 * The command line.
 *
 * One table says which option belongs to which verb; getopt_long does the reading.  Its permuting
 * is off: `run` stops at the program, whose own options are not ours, and the other verbs want to
 * know which word was the name and what came after "--".
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "helper/cli/options.h"

const char options_help[] =
        "usage: moult run [OPTIONS] [--] PROGRAM [ARG...]\n"
        "       moult upgrade [NAME] [OPTIONS] [-- PROGRAM ARG...]\n"
        "       moult status [NAME] [--json] [--watch]\n"
        "       moult list\n"
        "       moult stop [NAME] [--now]\n"
        "       moult check [--json] [--] PROGRAM [ARG...]\n"
        "       moult --help | --version\n"
        "\n"
        "Zero-downtime upgrades of unmodified daemons.\n"
        "\n"
        "  run       start PROGRAM under supervision and stay in the foreground\n"
        "  upgrade   start the next generation and switch to it; wait for the result\n"
        "  status    generations, connections, listeners, the last upgrade\n"
        "  list      the running instances\n"
        "  stop      drain the current generation, then end\n"
        "  check     can PROGRAM be upgraded?  says what is in the way and what to do\n"
        "\n"
        "Without NAME: the only running instance.\n"
        "\n"
        "Options of run:\n"
        "  -n, --name=NAME          the instance's name (default: the program's base name)\n"
        "  -p, --pid-file=PATH      write the launcher's pid to PATH\n"
        "  -b, --background         return when the program is ready\n"
        "      --log=WHERE          stderr or syslog (default: stderr)\n"
        "\n"
        "Options of run and upgrade (upgrade changes only what it names):\n"
        "      --ready=HOW          when a generation is ready (default: serving):\n"
        "                             serving       it waits for connections\n"
        "                             notify        it says READY=1 to NOTIFY_SOCKET\n"
        "                             fd=N          it writes a newline to descriptor N\n"
        "                             exec=COMMAND  it serves, and COMMAND exits with 0\n"
        "      --ready-timeout=TIME how long it may take to be ready (default: 60s)\n"
        "      --retire-after=TIME  how long the old one goes on accepting where the new one does\n"
        "                             not yet (default: --ready-timeout)\n"
        "      --drain-timeout=TIME how long the old one may finish connections (default: 5m)\n"
        "      --drain-signal=SIG   sent to the old one when its drain begins (default: none)\n"
        "      --stop-signal=SIG    sent when it is drained or out of time (default: TERM)\n"
        "      --kill-after=TIME    then SIGKILL to all that is left of it (default: 10s)\n"
        "      --max-draining=N     how many may drain at once, 1 to 64 (default: 4)\n"
        "      --no-overlap         for what cannot run twice: the old one ends (its\n"
        "                             --drain-timeout is 5s unless given), then the next\n"
        "                             one starts; clients wait in the queue meanwhile\n"
        "      --restart=WHEN       no, on-failure or always (default: no)\n"
        "      --aside=PATH         a pid or lock file, put aside while the next one starts and\n"
        "                           back if it fails; may be repeated (an upgrade that names any\n"
        "                           replaces the list, --aside= empties it)\n"
        "  -q, --quiet              say only what went wrong\n"
        "  -v, --verbose            say more\n"
        "\n"
        "Options of upgrade:   --wait   return when the old generation is gone\n"
        "Options of status:    --json   for programs      --watch   repeat every second\n"
        "Options of stop:      --now    do not drain\n"
        "Options of check:     --json   for programs\n"
        "\n"
        "Times: 500ms, 30s, 5m, 1h, infinity.  Signals: TERM, SIGTERM, 15.\n"
        "Signals to the launcher: HUP upgrade, TERM stop with drain, INT and QUIT stop now,\n"
        "USR1 log the status.\n"
        "\n"
        "Exit status: 0 done; 1 the upgrade failed and the current generation still serves\n"
        "(--no-overlap: the old program, started again), or what was checked cannot be upgraded;\n"
        "2 usage; 3 no such instance; 75 another upgrade is running; 126 the program cannot be\n"
        "executed; 127 it was not found.\n";

enum key {
	KEY_NAME,
	KEY_PID_FILE,
	KEY_BACKGROUND,
	KEY_LOG,
	KEY_READY,
	KEY_READY_TIMEOUT,
	KEY_RETIRE_AFTER,
	KEY_DRAIN_TIMEOUT,
	KEY_DRAIN_SIGNAL,
	KEY_STOP_SIGNAL,
	KEY_KILL_AFTER,
	KEY_MAX_DRAINING,
	KEY_NO_OVERLAP,
	KEY_RESTART,
	KEY_ASIDE,
	KEY_QUIET,
	KEY_VERBOSE,
	KEY_WAIT,
	KEY_JSON,
	KEY_WATCH,
	KEY_NOW,
	KEY_HELP,
};

enum {
	RUN = 1 << VERB_RUN,
	UPGRADE = 1 << VERB_UPGRADE,
	STATUS = 1 << VERB_STATUS,
	LIST = 1 << VERB_LIST,
	STOP = 1 << VERB_STOP,
	CHECK = 1 << VERB_CHECK,
};

static const struct known {
	const char *name;
	int letter; /* 0: none */
	int argument;
	unsigned verbs;
	enum key key;
} known_options[] = {
        {"name", 'n', required_argument, RUN, KEY_NAME},
        {"pid-file", 'p', required_argument, RUN, KEY_PID_FILE},
        {"background", 'b', no_argument, RUN, KEY_BACKGROUND},
        {"log", 0, required_argument, RUN, KEY_LOG},
        {"ready", 0, required_argument, RUN | UPGRADE, KEY_READY},
        {"ready-timeout", 0, required_argument, RUN | UPGRADE, KEY_READY_TIMEOUT},
        {"retire-after", 0, required_argument, RUN | UPGRADE, KEY_RETIRE_AFTER},
        {"drain-timeout", 0, required_argument, RUN | UPGRADE, KEY_DRAIN_TIMEOUT},
        {"drain-signal", 0, required_argument, RUN | UPGRADE, KEY_DRAIN_SIGNAL},
        {"stop-signal", 0, required_argument, RUN | UPGRADE, KEY_STOP_SIGNAL},
        {"kill-after", 0, required_argument, RUN | UPGRADE, KEY_KILL_AFTER},
        {"max-draining", 0, required_argument, RUN | UPGRADE, KEY_MAX_DRAINING},
        {"restart", 0, required_argument, RUN | UPGRADE, KEY_RESTART},
        {"aside", 0, required_argument, RUN | UPGRADE, KEY_ASIDE},
        {"quiet", 'q', no_argument, RUN | UPGRADE, KEY_QUIET},
        {"verbose", 'v', no_argument, RUN | UPGRADE, KEY_VERBOSE},
        {"wait", 0, no_argument, UPGRADE, KEY_WAIT},
        {"json", 0, no_argument, STATUS | CHECK, KEY_JSON},
        {"watch", 0, no_argument, STATUS, KEY_WATCH},
        {"now", 0, no_argument, STOP, KEY_NOW},
        {"help", 0, no_argument, RUN | UPGRADE | STATUS | LIST | STOP | CHECK, KEY_HELP},
        {"no-overlap", 0, no_argument, RUN | UPGRADE, KEY_NO_OVERLAP},
};

/* What getopt returns for the option at this index of the table; above every letter. */
enum { FIRST_VALUE = 0x100 };

static const char *const verb_names[] = {
        [VERB_RUN] = "run",
        [VERB_UPGRADE] = "upgrade",
        [VERB_STATUS] = "status",
        [VERB_LIST] = "list",
        [VERB_STOP] = "stop",
        [VERB_CHECK] = "check",
};

/* Where a complaint goes; complain() returns -EINVAL for the caller to pass on. */
struct complaint {
	char *text;
	size_t size;
};

static int complain(const struct complaint *to, const char *format, ...) PRINTF(2, 3);

static int complain(const struct complaint *to, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(to->text, to->size, format, arguments);
	va_end(arguments);
	return -EINVAL;
}

static int out_of_memory(const struct complaint *to)
{
	(void)complain(to, "out of memory");
	return -ENOMEM;
}

static int string_replace(char **string, const char *text, const struct complaint *to)
{
	char *copy = strdup(text);

	if (!copy)
		return out_of_memory(to);
	free(*string);
	*string = copy;
	return 0;
}

static void words_free(char **words)
{
	for (char **word = words; words && *word; word++)
		free(*word);
	free(words);
}

static size_t words_count(char *const *words)
{
	size_t count = 0;

	while (words && words[count])
		count++;
	return count;
}

static char **words_copy(char *const *words, size_t count)
{
	char **copy = calloc(count + 1, sizeof *copy);

	for (size_t i = 0; copy && i < count; i++) {
		copy[i] = strdup(words[i]);
		if (!copy[i]) {
			words_free(copy);
			return NULL;
		}
	}
	return copy;
}

void settings_deinit(struct settings *settings)
{
	string_free(&settings->ready_command);
	words_free(settings->command);
	settings->command = NULL;
	words_free(settings->aside);
	settings->aside = NULL;
}

int settings_copy(struct settings *to, const struct settings *from)
{
	struct settings copy = *from;

	copy.ready_command = NULL;
	copy.command = NULL;
	copy.aside = NULL;
	if (from->ready_command)
		copy.ready_command = strdup(from->ready_command);
	if (from->command)
		copy.command = words_copy(from->command, words_count(from->command));
	if (from->aside)
		copy.aside = words_copy(from->aside, words_count(from->aside));
	if (!copy.ready_command != !from->ready_command || !copy.command != !from->command ||
	        !copy.aside != !from->aside) {
		settings_deinit(&copy);
		return -ENOMEM;
	}
	*to = copy;
	return 0;
}

nanoseconds settings_yield_timeout(const struct settings *settings)
{
	return settings->drain_timeout_given ? settings->drain_timeout : 5 * SECOND;
}

nanoseconds settings_retire_after(const struct settings *settings)
{
	return settings->retire_after_given ? settings->retire_after : settings->ready_timeout;
}

void options_default(struct options *options)
{
	*options = (struct options){
	        .settings =
	                {
	                        .ready = READY_SERVING,
	                        .ready_fd = -1,
	                        .ready_timeout = 60 * SECOND,
	                        .drain_timeout = 300 * SECOND,
	                        .kill_after = 10 * SECOND,
	                        .stop_signal = SIGTERM,
	                        .restart = RESTART_NO,
	                        .max_draining = 4,
	                },
	        .level = LOG_LEVEL_NOTICE,
	        .name_word = -1,
	};
}

void options_deinit(struct options *options)
{
	settings_deinit(&options->settings);
	string_free(&options->name);
	string_free(&options->pid_file);
}

static int take_ready(struct settings *settings, const char *how, const struct complaint *to)
{
	int fd = -1;

	if (!strncmp(how, "exec=", 5)) {
		if (!how[5])
			return complain(to, "--ready=exec=: which command?");
		settings->ready = READY_EXEC;
		return string_replace(&settings->ready_command, how + 5, to);
	}
	if (!strncmp(how, "fd=", 3)) {
		if (!number_parse(how + 3, 0, 1023, &fd))
			return complain(
			        to, "--ready=%s: not a descriptor number from 3 to 1023", how);
		if (fd <= STDERR_FILENO)
			return complain(to,
			        "--ready=%s: 0, 1 and 2 are the program's standard streams (try "
			        "fd=3)",
			        how);
		settings->ready = READY_FD;
	} else if (!strcmp(how, "serving")) {
		settings->ready = READY_SERVING;
	} else if (!strcmp(how, "notify")) {
		settings->ready = READY_NOTIFY;
	} else {
		return complain(
		        to, "--ready=%s: not one of serving, notify, fd=N, exec=COMMAND", how);
	}
	settings->ready_fd = fd;
	string_free(&settings->ready_command);
	return 0;
}

static int take_time(
        nanoseconds *time, const char *option, const char *text, const struct complaint *to)
{
	if (duration_parse(text, time) < 0)
		return complain(
		        to, "--%s=%s: not a time (try 500ms, 30s, 5m, 1h, infinity)", option, text);
	return 0;
}

static int take_ready_timeout(nanoseconds *time, const char *text, const struct complaint *to)
{
	nanoseconds wanted = 0;
	int r = take_time(&wanted, "ready-timeout", text, to);

	if (r < 0)
		return r;
	if (wanted == 0)
		return complain(to, "--ready-timeout=%s: nothing is ready in no time", text);
	*time = wanted;
	return 0;
}

static int take_signal(
        int *number, const char *option, const char *text, const struct complaint *to)
{
	if (signal_parse(text, number) < 0)
		return complain(
		        to, "--%s=%s: not a signal (try TERM, QUIT, USR1, 15)", option, text);
	return 0;
}

static int take_restart(enum restart_policy *policy, const char *text, const struct complaint *to)
{
	if (!strcmp(text, "no"))
		*policy = RESTART_NO;
	else if (!strcmp(text, "on-failure"))
		*policy = RESTART_ON_FAILURE;
	else if (!strcmp(text, "always"))
		*policy = RESTART_ALWAYS;
	else
		return complain(to, "--restart=%s: not one of no, on-failure, always", text);
	return 0;
}

/* The first one begins a new list. */
static int take_aside(struct options *options, const char *path, const struct complaint *to)
{
	struct settings *settings = &options->settings;
	size_t count = 0;
	char **list;

	if (!options->aside_named) {
		words_free(settings->aside);
		settings->aside = NULL;
		options->aside_named = true;
	}
	if (!*path)
		return 0;
	if (path[strlen(path) - 1] == '/')
		return complain(to, "--aside=%s: a directory cannot be put aside", path);
	count = words_count(settings->aside);
	list = reallocarray(settings->aside, count + 2, sizeof *list);
	if (!list)
		return out_of_memory(to);
	settings->aside = list;
	list[count] = strdup(path);
	list[count + 1] = NULL;
	return list[count] ? 0 : out_of_memory(to);
}

static int take_log(bool *to_syslog, const char *text, const struct complaint *to)
{
	if (strcmp(text, "stderr") && strcmp(text, "syslog"))
		return complain(to, "--log=%s: not one of stderr, syslog", text);
	*to_syslog = !strcmp(text, "syslog");
	return 0;
}

static int take_name(struct options *options, const char *name, const struct complaint *to)
{
	if (!name_is_valid(name))
		return complain(to,
		        "%s: not a name (at most 64 of A-Z a-z 0-9 . _ @ -, not starting with . "
		        "or -)",
		        name);
	return string_replace(&options->name, name, to);
}

static int take_option(struct options *options, const struct known *option, const char *text,
        const struct complaint *to)
{
	struct settings *settings = &options->settings;

	switch (option->key) {
	case KEY_NAME: return take_name(options, text, to);
	case KEY_PID_FILE:
		if (!*text)
			return complain(to, "--pid-file=: which file?");
		return string_replace(&options->pid_file, text, to);
	case KEY_BACKGROUND: options->background = true; return 0;
	case KEY_LOG: return take_log(&options->syslog, text, to);
	case KEY_READY: return take_ready(settings, text, to);
	case KEY_READY_TIMEOUT: return take_ready_timeout(&settings->ready_timeout, text, to);
	case KEY_RETIRE_AFTER:
		settings->retire_after_given = true;
		return take_time(&settings->retire_after, option->name, text, to);
	case KEY_DRAIN_TIMEOUT:
		settings->drain_timeout_given = true;
		return take_time(&settings->drain_timeout, option->name, text, to);
	case KEY_DRAIN_SIGNAL: return take_signal(&settings->drain_signal, option->name, text, to);
	case KEY_STOP_SIGNAL: return take_signal(&settings->stop_signal, option->name, text, to);
	case KEY_KILL_AFTER: return take_time(&settings->kill_after, option->name, text, to);
	case KEY_MAX_DRAINING:
		if (!number_parse(text, 1, 64, &settings->max_draining))
			return complain(to, "--max-draining=%s: not a number from 1 to 64", text);
		return 0;
	case KEY_NO_OVERLAP: settings->no_overlap = true; return 0;
	case KEY_RESTART: return take_restart(&settings->restart, text, to);
	case KEY_ASIDE: return take_aside(options, text, to);
	case KEY_QUIET: options->level = LOG_LEVEL_ERROR; return 0;
	case KEY_VERBOSE: options->level = LOG_LEVEL_DEBUG; return 0;
	case KEY_WAIT: options->wait = true; return 0;
	case KEY_JSON: options->json = true; return 0;
	case KEY_WATCH: options->watch = true; return 0;
	case KEY_NOW: options->now = true; return 0;
	case KEY_HELP: options->help = true; break;
	}
	return 0;
}

/* The options of one verb in getopt's form. */
struct reader {
	struct option words[COUNT(known_options) + 1];
	char letters[2 + 2 * COUNT(known_options) + 1];
};

static void reader_init(struct reader *reader, enum verb verb)
{
	size_t count = 0;
	char *letter;

	*reader = (struct reader){0};
	letter = reader->letters;
	/* '+': stop at the program. '-': other words are returned as they come. */
	*letter++ = verb == VERB_RUN || verb == VERB_CHECK ? '+' : '-';
	*letter++ = ':';
	for (size_t i = 0; i < COUNT(known_options); i++) {
		const struct known *option = &known_options[i];

		if (!(option->verbs & (1u << verb)))
			continue;
		reader->words[count++] = (struct option){
		        .name = option->name,
		        .has_arg = option->argument,
		        .val = FIRST_VALUE + (int)i,
		};
		if (option->letter) {
			*letter++ = (char)option->letter;
			if (option->argument == required_argument)
				*letter++ = ':';
		}
	}
}

static const struct known *find_option(int value)
{
	for (size_t i = 0; i < COUNT(known_options); i++)
		if (value == FIRST_VALUE + (int)i ||
		        (known_options[i].letter && value == known_options[i].letter))
			return &known_options[i];
	return NULL;
}

/* getopt said '?' or ':' about the word before optind. */
static int complain_option(int answer, enum verb verb, const char *word, const struct complaint *to)
{
	const struct known *option = find_option(optopt);

	if (answer == ':')
		return complain(to, "%s: needs a value", word);
	if (option && optopt >= FIRST_VALUE)
		return complain(to, "--%s: takes no value", option->name);
	if (optopt > 0)
		return complain(to, "-%c: not an option of %s (see moult --help)", optopt,
		        verb_names[verb]);
	return complain(to, "%s: not an option of %s (see moult --help)", word, verb_names[verb]);
}

/* A word that is no option, before or after "--". */
static int take_word(struct options *options, enum verb verb, const char *word, int index,
        const struct complaint *to)
{
	if (verb == VERB_LIST)
		return complain(to, "%s: list takes no name", word);
	if (options->name_word >= 0)
		return complain(to, "%s: one name is enough%s", word,
		        verb == VERB_UPGRADE ? " (a new command line goes after --)" : "");
	options->name_word = index;
	return take_name(options, word, to);
}

static int take_command(
        struct settings *settings, char **words, int count, const struct complaint *to)
{
	char **command;

	if (!words[0][0])
		return complain(to, "the program's name is empty");
	command = words_copy(words, (size_t)count);
	if (!command)
		return out_of_memory(to);
	words_free(settings->command);
	settings->command = command;
	return 0;
}

/* The instance is named after the program. */
static int name_default(struct options *options, const struct complaint *to)
{
	const char *program = options->settings.command[0];
	const char *slash = strrchr(program, '/');
	char name[64 + 1];

	(void)snprintf(name, sizeof name, "%s", slash ? slash + 1 : program);
	for (char *c = name; *c; c++)
		if (!isascii((unsigned char)*c) ||
		        (!isalnum((unsigned char)*c) && !strchr("._@-", *c)))
			*c = '-';
	if (name[0] == '.' || name[0] == '-')
		name[0] = '_';
	if (!name_is_valid(name))
		return complain(to, "%s: no name can be made of it (use --name)", program);
	return string_replace(&options->name, name, to);
}

/* `argv` is as for main(): the words start at 1. */
static int read_words(
        struct options *options, enum verb verb, int argc, char **argv, const struct complaint *to)
{
	struct reader reader;
	int answer, r = 0;

	reader_init(&reader, verb);
	opterr = 0;
	optind = 0; /* start afresh */
	while ((answer = getopt_long(argc, argv, reader.letters, reader.words, NULL)) != -1) {
		if (answer == 1) {
			r = take_word(options, verb, optarg, optind - 2, to);
		} else {
			const struct known *option = find_option(answer);

			r = option ? take_option(options, option, optarg, to)
			           : complain_option(answer, verb, argv[optind - 1], to);
		}
		if (r < 0 || options->help)
			return r;
	}

	if (verb == VERB_RUN || verb == VERB_UPGRADE || verb == VERB_CHECK) {
		if (optind < argc)
			return take_command(&options->settings, argv + optind, argc - optind, to);
		if (verb != VERB_UPGRADE)
			return complain(to, "%s: which program?", verb_names[verb]);
		if (argc > 1 && !strcmp(argv[argc - 1], "--"))
			return complain(to, "--: which program?");
	}
	for (int i = optind; i < argc && r == 0; i++)
		r = take_word(options, verb, argv[i], i - 1, to);
	return r;
}

int options_parse(struct options *options, enum verb verb, int argc, char **argv, char *complaint,
        size_t size)
{
	struct complaint to = {complaint, size};
	char **words;
	int r;

	if (argc < 0 || argc >= INT_MAX - 1)
		return complain(&to, "too many words");
	/* getopt wants a program's name in front */
	words = calloc((size_t)argc + 2, sizeof *words);
	if (!words)
		return out_of_memory(&to);
	words[0] = (char *)verb_names[verb];
	for (int i = 0; i < argc; i++)
		words[i + 1] = argv[i];

	options->name_word = -1;
	r = read_words(options, verb, argc + 1, words, &to);
	free(words);
	if (r == 0 && verb == VERB_RUN && !options->help && !options->name)
		r = name_default(options, &to);
	return r;
}
