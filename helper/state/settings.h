/* SPDX-License-Identifier: MIT */
/* How a generation is run: what `run` sets and `upgrade` may change. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/base/util.h"

enum readiness_kind { READY_SERVING, READY_NOTIFY, READY_FD, READY_EXEC };
enum restart_policy { RESTART_NO, RESTART_ON_FAILURE, RESTART_ALWAYS };

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

/* The defaults, as --help tells them; no command. */
void settings_init(struct settings *settings);

/* Deep copy and release. 0 or -ENOMEM. */
int settings_copy(struct settings *to, const struct settings *from);
void settings_deinit(struct settings *settings);

/* How long the old generation may finish its connections while everybody else waits for the next. */
nanoseconds settings_yield_timeout(const struct settings *settings);

/* How long after the switch a listener stays open that the new generation has not taken over. */
nanoseconds settings_retire_after(const struct settings *settings);

/* Lists of words, NULL-terminated and allocated, each word for itself.  NULL counts as empty. */
size_t word_list_count(char *const *words);
char **word_list_copy(char *const *words, size_t count); /* NULL: no memory */
void word_list_free(char **words);
