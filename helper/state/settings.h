/* SPDX-License-Identifier: MIT */
/* How a generation is run.  `moult run` sets these; `moult upgrade` may change them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/base/util.h"

enum readiness_kind { READY_SERVING, READY_NOTIFY, READY_FD, READY_EXEC };
enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct settings {
	enum readiness_kind ready;
	int ready_fd;        /* READY_FD: the number of the descriptor in the daemon */
	char *ready_command; /* READY_EXEC: for /bin/sh -c */
	nanoseconds ready_timeout;
	nanoseconds retire_after; /* use settings_retire_after() */
	bool retire_after_given;
	nanoseconds drain_timeout;
	bool drain_timeout_given;
	nanoseconds stop_timeout; /* use settings_stop_timeout() */
	bool stop_timeout_given;
	nanoseconds kill_after;
	int drain_signal; /* 0: none */
	int stop_signal;
	enum restart_policy restart;
	int max_draining;
	bool leaves_sessions; /* a stop ends the first process, and no other */
	bool no_overlap;      /* the next generation starts when the old one has ended */
	char **aside;         /* NULL: none; else NULL-terminated: helper/lifecycle/aside.h */
	char **command;       /* NULL-terminated; for upgrade NULL means "as before" */
};

/* Sets the defaults, which --help prints, and no command. */
void settings_init(struct settings *settings);

/* Deep copy (0 or -ENOMEM) and release. */
int settings_copy(struct settings *to, const struct settings *from);
void settings_deinit(struct settings *settings);

/*
 * With --no-overlap: how long the old generation may finish its connections, while new clients wait
 * for the next one.
 */
nanoseconds settings_vacate_timeout(const struct settings *settings);

/* How long connections may last when the instance stops.  `awaited`: new clients wait meanwhile. */
nanoseconds settings_stop_timeout(const struct settings *settings, bool awaited);

/* How long after a switch a listener stays open that the new generation has not taken over. */
nanoseconds settings_retire_after(const struct settings *settings);

/* NULL-terminated lists of words.  The list and each word are allocated.  NULL is an empty list. */
size_t word_list_count(char *const *words);
char **word_list_copy(char *const *words, size_t count); /* NULL: no memory */
void word_list_free(char **words);
