/* SPDX-License-Identifier: MIT */
/* The command line: what it means, and what is wrong with it. */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/base/verb.h"
#include "helper/state/settings.h"

struct options {
	struct settings settings;
	char *name;       /* -n, or upgrade/status/stop's argument; run: the program's base name */
	char *pid_file;   /* NULL: none */
	bool aside_named; /* --aside has been read: the list is no longer the instance's */
	bool background;
	bool syslog;
	enum log_level level;
	bool help;     /* --help: nothing after it was read */
	bool wait;     /* upgrade --wait */
	bool json;     /* status, check --json */
	bool watch;    /* status --watch */
	bool now;      /* stop --now */
	int name_word; /* upgrade, status, stop: which word was the name; -1: none */
};

/*
 * Fills in the defaults, then reads argv (the words after the verb) for that verb.  For upgrade,
 * *options must hold the instance's present settings: only what is named changes.  Strings are
 * copied.  Returns 0, or -EINVAL with one line in `complaint` ("--ready-timeout=soon: not a time
 * (try 500ms, 30s, 5m, 1h, infinity)").
 */
void options_default(struct options *options);
int options_parse(struct options *options, enum verb verb, int argc, char **argv, char *complaint,
        size_t size);
void options_deinit(struct options *options);

extern const char options_help[];
