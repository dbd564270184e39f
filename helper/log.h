/* SPDX-License-Identifier: MIT */
/*
 * What the launcher says: one line per event, lower case, subject first, to stderr or syslog.
 * Only the top of the launcher (main, supervisor, upgrade, drain, control) logs.
 */
#pragma once

#include <stdbool.h>

#include "helper/util.h"

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
