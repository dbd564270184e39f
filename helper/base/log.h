/* SPDX-License-Identifier: MIT */
/*
 * The launcher's log: one line per event, lower case, subject first, to stderr or syslog.
 *
 * A line holds printable characters only, because programs and users choose some of its words.  A
 * reader that does not read cannot stop the launcher: a line that cannot be written is dropped, and
 * the number of dropped lines is logged later.
 */
#pragma once

#include <stdbool.h>

#include "helper/base/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* `most`: the last level that is written (-q: errors only, -v: debug too). `name` may be NULL. */
void log_open(bool to_syslog, enum log_level most, const char *name);

/* With syslog: errors also go to stderr.  For the time in which somebody waits for the start. */
void log_repeat_errors(bool yes);

/* Receives every line, also those above `most`: a client may ask for more than this log shows. */
typedef void log_listener(void *context, enum log_level level, const char *line);
void log_listen(log_listener *listener, void *context);

void log_line(enum log_level level, const char *format, ...) PRINTF(2, 3);
#define log_error(...)  log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...)  log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * For a line that a program or another user can cause at will.  Each struct log_limit (static) lets
 * `burst` lines (0: one) through in a second.  The next line tells how many were left out.
 */
enum { LOG_BURST = 64 }; /* as many listeners as one program may well have */
struct log_limit {
	unsigned burst;
	unsigned said, left_out;
	nanoseconds next;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
        PRINTF(3, 4);

/*
 * For a line of a program's error output, a file that launchers and operators' commands may write
 * to, too.  Cuts off "moult: " and all behind it.  Empties a line that begins "generation N: " or
 * repeats one of the last lines of this log.
 */
void log_strike_own(char *line);
