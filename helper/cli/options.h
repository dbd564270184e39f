/* SPDX-License-Identifier: MIT */
/* The command line of each verb. */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/base/verb.h"
#include "helper/state/settings.h"

struct options {
	struct settings settings;
	char *name;       /* run: -n, else from the program's name; others: NAME, or NULL */
	char *pid_file;   /* NULL: none */
	bool aside_named; /* --aside has been read: settings.aside is a new list */
	bool background;
	int notify_fd; /* 0: none */
	bool syslog;
	enum log_level level;
	bool help;     /* --help: the words after it have not been read */
	bool wait;     /* upgrade --wait */
	bool json;     /* status, check --json */
	bool watch;    /* status --watch */
	bool now;      /* stop, enable, disable --now */
	bool dry_run;  /* enable, disable --dry-run */
	char **units;  /* enable, disable: the names, NULL at the end; or NULL */
	char **passed; /* enable: the options for run, as words like "--aside=PATH"; or NULL */
	int name_word; /* upgrade, status, stop: the index of the name in argv; -1: none */
};

/*
 * Fills in the defaults.  options_deinit() releases them.
 */
void options_default(struct options *options);

/*
 * Reads argv (the words after the verb) into *options, which holds the defaults or, for upgrade,
 * the settings of the instance: only the options that are named change.  Strings are copied.
 * Returns 0, or -EINVAL or -ENOMEM with one line in `complaint`, for example "--ready-timeout=soon:
 * not a time (try 500ms, 30s, 5m, 1h, infinity)".
 */
int options_parse(struct options *options, enum verb verb, int argc, char **argv, char *complaint,
        size_t size);
void options_deinit(struct options *options);

extern const char options_help[];
