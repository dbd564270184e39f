/* SPDX-License-Identifier: MIT */
/*
 * What the launcher says: one line per event, lower case, subject first, to stderr or syslog.
 *
 * A line holds printable characters only, whoever chose the words in it, and nobody who does not
 * read keeps the launcher waiting: what cannot be written is counted, and the count is said later.
 */
#pragma once

#include <stdbool.h>

#include "helper/base/util.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_NOTICE, LOG_LEVEL_DEBUG };

/* -q shows errors only, -v also debug lines. */
void log_open(bool to_syslog, enum log_level most, const char *name);

/* Also receives every line, whatever -q and -v say here: those who asked for it may want more. */
typedef void log_listener(void *context, enum log_level level, const char *line);
void log_listen(log_listener *listener, void *context);

void log_line(enum log_level level, const char *format, ...) PRINTF(2, 3);
#define log_error(...)  log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_debug(...)  log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * For a line that a program or another user can cause at will: at most `burst` (0: one) in a second
 * for each log_limit (static). The next one says how many were left out.
 */
enum { LOG_BURST = 64 }; /* listeners that one program may well have */
struct log_limit {
	unsigned burst;
	unsigned said, left_out;
	nanoseconds next;
};
void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
        PRINTF(3, 4);

/*
 * Of a line in a file that launchers and operators' commands may write to as well, leaves what
 * neither of them has written: the text before "moult: ", or nothing.
 */
void log_strike_own(char *line);
