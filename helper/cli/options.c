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

#include "helper/base/units.h"
#include "helper/cli/options.h"

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

void options_default(struct options *options)
{
	*options = (struct options){.level = LOG_LEVEL_NOTICE, .name_word = -1};
	settings_init(&options->settings);
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
	int result = take_time(&wanted, "ready-timeout", text, to);

	if (result < 0)
		return result;
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
		word_list_free(settings->aside);
		settings->aside = NULL;
		options->aside_named = true;
	}
	if (!*path)
		return 0;
	if (path[strlen(path) - 1] == '/')
		return complain(to, "--aside=%s: a directory cannot be put aside", path);
	count = word_list_count(settings->aside);
	list = reallocarray(settings->aside, count + 2, sizeof(*list));
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
		return complain(
		        to, "-%c: not an option of %s (see moult --help)", optopt, verb_name(verb));
	return complain(to, "%s: not an option of %s (see moult --help)", word, verb_name(verb));
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
	command = word_list_copy(words, (size_t)count);
	if (!command)
		return out_of_memory(to);
	word_list_free(settings->command);
	settings->command = command;
	return 0;
}

/* The instance is named after the program. */
static int name_default(struct options *options, const struct complaint *to)
{
	const char *program = options->settings.command[0];
	char name[64 + 1];

	(void)snprintf(name, sizeof(name), "%s", path_base(program));
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
	int answer, result = 0;

	reader_init(&reader, verb);
	opterr = 0;
	optind = 0; /* start afresh */
	while ((answer = getopt_long(argc, argv, reader.letters, reader.words, NULL)) != -1) {
		if (answer == 1) {
			result = take_word(options, verb, optarg, optind - 2, to);
		} else {
			const struct known *option = find_option(answer);

			result = option ? take_option(options, option, optarg, to)
			                : complain_option(answer, verb, argv[optind - 1], to);
		}
		if (result < 0 || options->help)
			return result;
	}

	if (verb == VERB_RUN || verb == VERB_UPGRADE || verb == VERB_CHECK) {
		if (optind < argc)
			return take_command(&options->settings, argv + optind, argc - optind, to);
		if (verb != VERB_UPGRADE)
			return complain(to, "%s: which program?", verb_name(verb));
		if (argc > 1 && !strcmp(argv[argc - 1], "--"))
			return complain(to, "--: which program?");
	}
	for (int i = optind; i < argc && result == 0; i++)
		result = take_word(options, verb, argv[i], i - 1, to);
	return result;
}

int options_parse(struct options *options, enum verb verb, int argc, char **argv, char *complaint,
        size_t size)
{
	struct complaint to = {complaint, size};
	char **words;
	int result;

	if (argc < 0 || argc >= INT_MAX - 1)
		return complain(&to, "too many words");
	/* getopt wants a program's name in front */
	words = calloc((size_t)argc + 2, sizeof(*words));
	if (!words)
		return out_of_memory(&to);
	words[0] = (char *)verb_name(verb);
	for (int i = 0; i < argc; i++)
		words[i + 1] = argv[i];

	options->name_word = -1;
	result = read_words(options, verb, argc + 1, words, &to);
	free(words);
	if (result == 0 && verb == VERB_RUN && !options->help && !options->name)
		result = name_default(options, &to);
	return result;
}
