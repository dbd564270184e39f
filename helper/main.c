/* SPDX-License-Identifier: MIT */
/* moult: the launcher (run), and the operator's commands, which send requests to a launcher. */
#include <stdio.h>
#include <string.h>

#include "helper/base/fail.h"
#include "helper/check/check.h"
#include "helper/cli/client.h"
#include "helper/cli/options.h"
#include "helper/lifecycle/supervisor.h"
#include "helper/process/inherited.h"
#include "helper/unit/enable.h"

#define VERSION "0.1.0"

static const char usage[] =
        "usage: moult run|upgrade|status|list|stop|check|enable|disable [OPTIONS] ...\n"
        "       moult --help\n";

static int say(const char *text)
{
	(void)fputs(text, stdout);
	return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int dispatch(enum verb verb, struct options *options, int word_count, char **words)
{
	char complaint[512];

	options_default(options);
	if (options_parse(options, verb, word_count, words, complaint, sizeof(complaint)) < 0)
		return fail(EXIT_USAGE, "%s", complaint);
	if (options->help)
		return say(options_help);
	if (verb == VERB_RUN) {
		log_open(options->syslog, options->level, options->name);
		return supervisor_run(options);
	}
	if (verb == VERB_CHECK)
		return check_run(options->settings.command, options->json);
	if (verb == VERB_LIST)
		return client_list();
	if (verb == VERB_ENABLE || verb == VERB_DISABLE) {
		const struct enable enable = {
		        options->units, options->passed, options->dry_run, options->now};

		return verb == VERB_ENABLE ? enable_run(&enable) : disable_run(&enable);
	}
	if (options->name_word >= 0) {
		/* The request holds the words without the instance's name */
		for (int i = options->name_word; i + 1 < word_count; i++)
			words[i] = words[i + 1];
		word_count--;
	}
	return client_run(verb, options, word_count, words);
}

int main(int argc, char **argv)
{
	struct options options;
	enum verb verb;
	int status;

	inherited_take();
	if (argc < 2) {
		(void)fputs(usage, stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return say(options_help);
	if (!strcmp(argv[1], "--version"))
		return say("moult " VERSION "\n");
	if (verb_find(argv[1], &verb)) {
		status = dispatch(verb, &options, argc - 2, argv + 2);
		options_deinit(&options);
		return status;
	}
	return fail(EXIT_USAGE, "%s: no such %s (see moult --help)", argv[1],
	        argv[1][0] == '-' ? "option" : "command");
}
