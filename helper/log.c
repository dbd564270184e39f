/* SPDX-License-Identifier: MIT */
/*
 * Lines to stderr or syslog.
 *
 * A line is one write(), because the daemon writes to the same stderr.  It never holds a control
 * character: names and reasons in it come from programs and command lines, and one event must stay
 * one line.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/log.h"

enum {
	LINE_MAX_BYTES = 1024,
	/* How long a full pipe whose reader sleeps may hold the launcher up: then a line is lost */
	PATIENCE_MS = 200,
};

static struct {
	bool to_syslog;
	enum log_level most;
	char prefix[96]; /* "web: " */
	log_listener *listener;
	void *context;
} state = {.most = LOG_LEVEL_NOTICE};

void log_open(bool to_syslog, enum log_level most, const char *name)
{
	state.to_syslog = to_syslog;
	state.most = most;
	state.prefix[0] = '\0';
	if (name)
		(void)snprintf(state.prefix, sizeof state.prefix, "%.64s: ", name);
	if (to_syslog)
		openlog("moult", LOG_PID, LOG_DAEMON);
}

void log_listen(log_listener *listener, void *context)
{
	state.listener = listener;
	state.context = context;
}

static void make_printable(char *line)
{
	for (unsigned char *c = (unsigned char *)line; *c; c++)
		if (*c < ' ' || *c == 0x7f)
			*c = '?';
}

static void write_stderr(const char *line)
{
	char text[LINE_MAX_BYTES + 128];
	int length = snprintf(text, sizeof text, "moult: %s%s\n", state.prefix, line);
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (length < 0 || (size_t)length >= sizeof text)
		return;
	/* No room, or nobody there: nothing could be told about it, and the daemon goes on */
	if (poll(&out, 1, PATIENCE_MS) <= 0)
		return;
	(void)!write(STDERR_FILENO, text, (size_t)length);
}

static int syslog_priority(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR: return LOG_ERR;
	case LOG_LEVEL_NOTICE: return LOG_NOTICE;
	case LOG_LEVEL_DEBUG: break;
	}
	return LOG_DEBUG;
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof line, format, arguments);
	va_end(arguments);
	make_printable(line);

	if (level <= state.most) {
		if (state.to_syslog)
			syslog(syslog_priority(level), "%s%s", state.prefix, line);
		else
			write_stderr(line);
	}
	if (state.listener)
		state.listener(state.context, level, line);
	errno = saved;
}
