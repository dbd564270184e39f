/* SPDX-License-Identifier: MIT */
/*
 * The values of options: from the text on the command line to the type that the launcher uses.
 *
 * Every function returns 0, or -EINVAL or -ENOMEM with one line in the complaint.  A value that is
 * refused (-EINVAL) changes nothing, except that value_aside() may already have begun a new list.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/base/util.h"
#include "helper/state/settings.h"

/* Where the line goes; the buffer is the caller's. */
struct complaint {
	char *text;
	size_t size;
};

/* Writes the line and returns -EINVAL. */
int complain(const struct complaint *to, const char *format, ...) PRINTF(2, 3);

/* The same, with -ENOMEM. */
int out_of_memory(const struct complaint *to);

/* Replaces an allocated string, or NULL, by a copy of `text`. */
int string_replace(char **string, const char *text, const struct complaint *to);

/* `option` is the option's name without dashes, for the complaint. */
int value_time(nanoseconds *time, const char *option, const char *text, const struct complaint *to);
int value_signal(int *number, const char *option, const char *text, const struct complaint *to);

/* --ready: how, and the descriptor or command that belongs to it. */
int value_ready(struct settings *settings, const char *how, const struct complaint *to);
/* --notify-fd: a descriptor's number. */
int value_notify_fd(int *number, const char *text, const struct complaint *to);
/* --ready-timeout: a time, but not 0. */
int value_ready_timeout(nanoseconds *time, const char *text, const struct complaint *to);
int value_restart(enum restart_policy *policy, const char *text, const struct complaint *to);
/*
 * --aside: adds to the list; "" adds nothing.  The first one of a command line (*named is false,
 * and becomes true) begins a new list.
 */
int value_aside(
        struct settings *settings, bool *named, const char *path, const struct complaint *to);
int value_log(bool *to_syslog, const char *text, const struct complaint *to);
/* An instance's name; a copy replaces *ret_name, which is allocated or NULL. */
int value_name(char **ret_name, const char *name, const struct complaint *to);
