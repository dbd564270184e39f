/* SPDX-License-Identifier: MIT */
/* The command line: what it means, and what is wrong with it. */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/base/util.h"

/* Exit statuses, as in the man page. 3 is LSB's "not running". */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_INSTANCE = 3,
	EXIT_BUSY = 75,            /* EX_TEMPFAIL of sysexits.h */
	EXIT_CANNOT_EXECUTE = 126, /* as the shell */
	EXIT_NOT_FOUND = 127,
};

enum readiness_kind { READY_SERVING, READY_NOTIFY, READY_FD, READY_EXEC };
enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

/* How a generation is run: everything that `run` sets and `upgrade` may change. */
struct settings {
	enum readiness_kind ready;
	int ready_fd;        /* READY_FD: the daemon's descriptor number */
	char *ready_command; /* READY_EXEC: for /bin/sh -c */
	nanoseconds ready_timeout;
	nanoseconds retire_after; /* if given; see settings_retire_after() */
	bool retire_after_given;
	nanoseconds drain_timeout;
	bool drain_timeout_given;
	nanoseconds kill_after;
	int drain_signal; /* 0: none */
	int stop_signal;
	enum restart_policy restart;
	int max_draining;
	bool no_overlap; /* the next generation starts when nothing of the old one is left */
	char **aside;    /* NULL: none; else NULL-terminated: helper/lifecycle/aside.h */
	char **command;  /* NULL-terminated; for upgrade NULL means "as before" */
};

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

enum verb { VERB_RUN, VERB_UPGRADE, VERB_STATUS, VERB_LIST, VERB_STOP, VERB_CHECK };

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

/* How long the old generation may finish its connections while everybody else waits for the next. */
nanoseconds settings_yield_timeout(const struct settings *settings);

/* How long after the switch a listener stays open that the new generation has not taken over. */
nanoseconds settings_retire_after(const struct settings *settings);

/* Deep copy and release of the settings alone. */
int settings_copy(struct settings *to, const struct settings *from);
void settings_deinit(struct settings *settings);

extern const char options_help[];
