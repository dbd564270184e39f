/* SPDX-License-Identifier: MIT */
/*
 * The command line.
 *
 * One table says which option belongs to which verb; getopt_long reads the words.  It does not
 * permute them: `run` and `check` stop at the program, because the words after it are the program's
 * options; the other verbs need the position of the name and the words behind "--".
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/units.h"
#include "helper/cli/options.h"
#include "helper/cli/values.h"

enum key {
	KEY_NAME,
	KEY_PID_FILE,
	KEY_BACKGROUND,
	KEY_NOTIFY_FD,
	KEY_LOG,
	KEY_READY,
	KEY_READY_TIMEOUT,
	KEY_RETIRE_AFTER,
	KEY_DRAIN_TIMEOUT,
	KEY_STOP_TIMEOUT,
	KEY_DRAIN_SIGNAL,
	KEY_STOP_SIGNAL,
	KEY_KILL_AFTER,
	KEY_MAX_DRAINING,
	KEY_LEAVE_SESSIONS,
	KEY_NO_OVERLAP,
	KEY_RESTART,
	KEY_ASIDE,
	KEY_QUIET,
	KEY_VERBOSE,
	KEY_WAIT,
	KEY_JSON,
	KEY_WATCH,
	KEY_NOW,
	KEY_DRY_RUN,
	KEY_HELP,
};

enum {
	RUN = 1 << VERB_RUN,
	UPGRADE = 1 << VERB_UPGRADE,
	STATUS = 1 << VERB_STATUS,
	LIST = 1 << VERB_LIST,
	STOP = 1 << VERB_STOP,
	CHECK = 1 << VERB_CHECK,
	ENABLE = 1 << VERB_ENABLE,
	DISABLE = 1 << VERB_DISABLE,
	/* What a generation is run with */
	SETTING = RUN | UPGRADE | ENABLE,
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
        {"notify-fd", 0, required_argument, RUN, KEY_NOTIFY_FD},
        {"log", 0, required_argument, RUN, KEY_LOG},
        {"ready", 0, required_argument, SETTING, KEY_READY},
        {"ready-timeout", 0, required_argument, SETTING, KEY_READY_TIMEOUT},
        {"retire-after", 0, required_argument, SETTING, KEY_RETIRE_AFTER},
        {"drain-timeout", 0, required_argument, SETTING, KEY_DRAIN_TIMEOUT},
        {"drain-signal", 0, required_argument, SETTING, KEY_DRAIN_SIGNAL},
        {"stop-signal", 0, required_argument, SETTING, KEY_STOP_SIGNAL},
        {"kill-after", 0, required_argument, SETTING, KEY_KILL_AFTER},
        {"max-draining", 0, required_argument, SETTING, KEY_MAX_DRAINING},
        {"stop-timeout", 0, required_argument, SETTING, KEY_STOP_TIMEOUT},
        {"restart", 0, required_argument, RUN | UPGRADE, KEY_RESTART},
        {"aside", 0, required_argument, SETTING, KEY_ASIDE},
        {"quiet", 'q', no_argument, RUN | UPGRADE, KEY_QUIET},
        {"verbose", 'v', no_argument, SETTING, KEY_VERBOSE},
        {"wait", 0, no_argument, UPGRADE, KEY_WAIT},
        {"json", 0, no_argument, STATUS | CHECK, KEY_JSON},
        {"watch", 0, no_argument, STATUS, KEY_WATCH},
        {"now", 0, no_argument, STOP | ENABLE | DISABLE, KEY_NOW},
        {"dry-run", 0, no_argument, ENABLE | DISABLE, KEY_DRY_RUN},
        {"help", 0, no_argument, ~0u, KEY_HELP},
        {"leave-sessions", 0, no_argument, RUN | UPGRADE, KEY_LEAVE_SESSIONS},
        {"no-overlap", 0, no_argument, SETTING, KEY_NO_OVERLAP},
};

/* getopt_long returns FIRST_VALUE + the index in the table, which is above every letter. */
enum { FIRST_VALUE = 0x100 };

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
	word_list_free(options->units);
	word_list_free(options->passed);
}

static int take_option(struct options *options, const struct known *option, const char *text,
        const struct complaint *to)
{
	struct settings *settings = &options->settings;

	switch (option->key) {
	case KEY_NAME: return value_name(&options->name, text, to);
	case KEY_PID_FILE:
		if (!*text)
			return complain(to, "--pid-file=: the path is missing");
		return string_replace(&options->pid_file, text, to);
	case KEY_BACKGROUND: options->background = true; return 0;
	case KEY_NOTIFY_FD: return value_notify_fd(&options->notify_fd, text, to);
	case KEY_LOG: return value_log(&options->syslog, text, to);
	case KEY_READY: return value_ready(settings, text, to);
	case KEY_READY_TIMEOUT: return value_ready_timeout(&settings->ready_timeout, text, to);
	case KEY_RETIRE_AFTER:
		settings->retire_after_given = true;
		return value_time(&settings->retire_after, option->name, text, to);
	case KEY_DRAIN_TIMEOUT:
		settings->drain_timeout_given = true;
		return value_time(&settings->drain_timeout, option->name, text, to);
	case KEY_STOP_TIMEOUT:
		settings->stop_timeout_given = true;
		return value_time(&settings->stop_timeout, option->name, text, to);
	case KEY_DRAIN_SIGNAL: return value_signal(&settings->drain_signal, option->name, text, to);
	case KEY_STOP_SIGNAL: return value_signal(&settings->stop_signal, option->name, text, to);
	case KEY_KILL_AFTER: return value_time(&settings->kill_after, option->name, text, to);
	case KEY_MAX_DRAINING:
		if (!number_parse(text, 1, 64, &settings->max_draining))
			return complain(to, "--max-draining=%s: not a number from 1 to 64", text);
		return 0;
	case KEY_LEAVE_SESSIONS: settings->leaves_sessions = true; return 0;
	case KEY_NO_OVERLAP: settings->no_overlap = true; return 0;
	case KEY_RESTART: return value_restart(&settings->restart, text, to);
	case KEY_ASIDE: return value_aside(settings, &options->aside_named, text, to);
	case KEY_QUIET: options->level = LOG_LEVEL_ERROR; return 0;
	case KEY_VERBOSE: options->level = LOG_LEVEL_DEBUG; return 0;
	case KEY_WAIT: options->wait = true; return 0;
	case KEY_JSON: options->json = true; return 0;
	case KEY_WATCH: options->watch = true; return 0;
	case KEY_NOW: options->now = true; return 0;
	case KEY_DRY_RUN: options->dry_run = true; return 0;
	case KEY_HELP: options->help = true; break;
	}
	return 0;
}

/* The options of one verb, in the form of getopt_long. */
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
	/*
	 * '+': stop at the first other word.  '-': return other words in their order, as option 1.
	 */
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

/* `answer`: '?' or ':' from getopt_long; `word`: the word that it refused. */
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

/* Adds a copy of the word. */
static int list_add(char ***list, const char *word, const struct complaint *to)
{
	size_t count = word_list_count(*list);
	char **longer = reallocarray(*list, count + 2, sizeof(*longer));

	if (!longer)
		return out_of_memory(to);
	*list = longer;
	longer[count + 1] = NULL;
	longer[count] = strdup(word);
	return longer[count] ? 0 : out_of_memory(to);
}

/* enable checks the value, and keeps the words for the command line that it writes. */
static int pass_option(struct options *options, const struct known *option, const char *text,
        const struct complaint *to)
{
	char *word = NULL;
	int result;

	if (!(option->verbs & UPGRADE) || !(option->verbs & ENABLE) || option->key == KEY_HELP)
		return 0;
	if (asprintf(&word, "--%s%s%s", option->name, text ? "=" : "", text ? text : "") < 0)
		return out_of_memory(to);
	result = list_add(&options->passed, word, to);
	free(word);
	return result;
}

/* A word that is not an option, before or after "--". `index`: its place after the verb. */
static int take_word(struct options *options, enum verb verb, const char *word, int index,
        const struct complaint *to)
{
	if (verb == VERB_LIST)
		return complain(to, "%s: list takes no name", word);
	if (verb == VERB_ENABLE || verb == VERB_DISABLE)
		return list_add(&options->units, word, to);
	if (options->name_word >= 0)
		return complain(to, "%s: one name is enough%s", word,
		        verb == VERB_UPGRADE ? " (a new command line goes after --)" : "");
	options->name_word = index;
	return value_name(&options->name, word, to);
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

/* Without --name the instance is named after the program. */
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
		return complain(to, "%s: cannot be made the instance's name (use --name)", program);
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
	optind = 0; /* 0, not 1: glibc and musl forget an earlier run */
	while ((answer = getopt_long(argc, argv, reader.letters, reader.words, NULL)) != -1) {
		if (answer == 1) {
			result = take_word(options, verb, optarg, optind - 2, to);
		} else {
			const struct known *option = find_option(answer);

			result = option ? take_option(options, option, optarg, to)
			                : complain_option(answer, verb, argv[optind - 1], to);
			if (result == 0 && verb == VERB_ENABLE)
				result = pass_option(options, option, optarg, to);
		}
		if (result < 0 || options->help)
			return result;
	}

	if (verb == VERB_RUN || verb == VERB_UPGRADE || verb == VERB_CHECK) {
		if (optind < argc)
			return take_command(&options->settings, argv + optind, argc - optind, to);
		if (verb != VERB_UPGRADE)
			return complain(to, "%s: the program is missing", verb_name(verb));
		if (argc > 1 && !strcmp(argv[argc - 1], "--"))
			return complain(to, "--: the program is missing after it");
	}
	for (int i = optind; i < argc && result == 0; i++)
		result = take_word(options, verb, argv[i], i - 1, to);
	if (result == 0 && !options->units && (verb == VERB_ENABLE || verb == VERB_DISABLE))
		return complain(to, "%s: the name of the unit is missing", verb_name(verb));
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
	/* getopt_long skips words[0], the place of a program's name */
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
