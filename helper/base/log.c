/* SPDX-License-Identifier: MIT */
/*
 * Lines to stderr or syslog.
 *
 * A line is one write(), because the daemon writes to the same stderr.  A line never holds a
 * control character: its names and reasons come from programs and command lines, and one event must
 * stay one line.
 */
#include "helper/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>

#include "helper/base/printable.h"

enum {
	LINE_MAX_BYTES = 1024,
	/* How long the launcher waits for the reader of a full pipe before it drops the line */
	PATIENCE_MS = 200,
	LINES_REMEMBERED = 64,
};

static struct {
	bool to_syslog;
	bool errors_to_stderr; /* as well */
	enum log_level most;
	char prefix[96]; /* "web: " */
	unsigned lost;   /* lines since the last one that could be written */
	/*
	 * Hashes of the last lines.  An operator's command repeats them, maybe into the same file.
	 */
	uint64_t said[LINES_REMEMBERED];
	size_t said_next;
	log_listener *listener;
	void *context;
} state = {.most = LOG_LEVEL_NOTICE};

void log_open(bool to_syslog, enum log_level most, const char *name)
{
	state.to_syslog = to_syslog;
	state.most = most;
	state.prefix[0] = '\0';
	if (name)
		(void)snprintf(state.prefix, sizeof(state.prefix), "%.64s: ", name);
	if (to_syslog)
		openlog("moult", LOG_PID, LOG_DAEMON);
}

void log_repeat_errors(bool yes)
{
	state.errors_to_stderr = yes;
}

void log_listen(log_listener *listener, void *context)
{
	state.listener = listener;
	state.context = context;
}

/*
 * Writes without waiting.  False: try again later.  stderr is shared with the program, so
 * O_NONBLOCK on it would change the program's stream, and the program may fill the pipe between our
 * poll() and our write().  So a pipe or a terminal is opened again: the new descriptor has flags of
 * its own.  A regular file never blocks.
 */
static bool write_at_once(const char *text, size_t length)
{
	struct stat status = {0};
	CLEANUP(fd_close) int own = -1;
	if (fstat(STDERR_FILENO, &status) == 0 && S_ISSOCK(status.st_mode))
		return send(STDERR_FILENO, text, length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 ||
		       errno != EAGAIN;
	if (S_ISFIFO(status.st_mode) || isatty(STDERR_FILENO))
		own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (own < 0 && poll(&out, 1, 0) == 0)
		return false;
	/* Only EAGAIN is worth a second try */
	return write(own >= 0 ? own : STDERR_FILENO, text, length) >= 0 || errno != EAGAIN;
}

/* Waits for a full pipe once. After a lost line it does not wait until a line has got through. */
static bool write_soon(const char *text, size_t length)
{
	struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
	if (write_at_once(text, length))
		return true;
	return !state.lost && poll(&out, 1, PATIENCE_MS) > 0 && write_at_once(text, length);
}

static void write_stderr(const char *line)
{
	char text[LINE_MAX_BYTES + 128];
	int length;

	if (state.lost) {
		length = snprintf(text, sizeof(text), "moult: %s%u lines were lost\n", state.prefix,
		        state.lost);
		if (!write_soon(text, (size_t)length)) {
			state.lost++;
			return;
		}
		state.lost = 0;
	}
	length = snprintf(text, sizeof(text), "moult: %s%s\n", state.prefix, line);
	if (length > 0 && (size_t)length < sizeof(text) && !write_soon(text, (size_t)length))
		state.lost++;
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

/* FNV-1a */
static uint64_t hash(const char *text)
{
	uint64_t value = 0xcbf29ce484222325;
	for (; *text; text++)
		value = (value ^ (unsigned char)*text) * 0x100000001b3;
	return value;
}

/* Not syslog(3): that call waits for a logger that does not read. False: try again later. */
static bool syslog_at_once(int priority, const char *line)
{
	static const struct sockaddr_un logger = {.sun_family = AF_UNIX, .sun_path = _PATH_LOG};
	char text[LINE_MAX_BYTES + 256], at[32];
	time_t clock = time(NULL);
	struct tm tm;
	CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	(void)strftime(at, sizeof(at), "%b %e %T", localtime_r(&clock, &tm));
	int length = snprintf(text, sizeof(text), "<%d>%s moult[%d]: %s%s", LOG_DAEMON | priority,
	        at, (int)getpid(), state.prefix, line);
	if (fd < 0 || length < 0 || (size_t)length >= sizeof(text))
		return false;
	if (sendto(fd, text, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
	            (const struct sockaddr *)&logger, sizeof(logger)) >= 0)
		return true;
	if (errno == EAGAIN)
		return false;
	if (errno == EPROTOTYPE) /* /dev/log is a stream socket: libc knows its protocol */
		syslog(priority, "%s%s", state.prefix, line);
	return true;
}

static void write_syslog(int priority, const char *line)
{
	char text[64];

	if (state.lost) {
		(void)snprintf(text, sizeof(text), "%u lines were lost", state.lost);
		if (!syslog_at_once(priority, text)) {
			state.lost++;
			return;
		}
		state.lost = 0;
	}
	if (!syslog_at_once(priority, line))
		state.lost++;
}

static void say(enum log_level level, char *line)
{
	printable_make(line);
	state.said[state.said_next++ % COUNT(state.said)] = hash(line);
	if (level <= state.most) {
		bool repeated = state.errors_to_stderr && level == LOG_LEVEL_ERROR;
		if (state.to_syslog)
			write_syslog(syslog_priority(level), line);
		if (!state.to_syslog || repeated)
			write_stderr(line);
	}
	if (state.listener)
		state.listener(state.context, level, line);
}

void log_line(enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list arguments;

	va_start(arguments, format);
	(void)vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	say(level, line);
	errno = saved;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list arguments;

	if (now() >= limit->next) {
		limit->said = 0;
		limit->next = after(SECOND);
	} else if (limit->said >= (limit->burst ? limit->burst : 1)) {
		limit->left_out++;
		return;
	}
	va_start(arguments, format);
	int length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (limit->left_out && length > 0 && (size_t)length < sizeof(line))
		(void)snprintf(line + length, sizeof(line) - (size_t)length,
		        " (and %u more before)", limit->left_out);
	limit->left_out = 0;
	limit->said++;
	say(level, line);
	errno = saved;
}

static bool is_said(const char *line)
{
	uint64_t value = hash(line);
	for (size_t i = 0; i < COUNT(state.said) && i < state.said_next; i++)
		if (state.said[i] == value)
			return true;
	return false;
}

/* "generation 12: " begins most lines that a command repeats, those of other launchers, too. */
static bool is_about_generation(const char *line)
{
	static const char word[] = "generation ";
	if (strncmp(line, word, strlen(word)) != 0)
		return false;
	size_t digits = strspn(line + strlen(word), "0123456789");
	return digits > 0 && !strncmp(line + strlen(word) + digits, ": ", 2);
}

void log_strike_own(char *line)
{
	char *own = strstr(line, "moult: ");
	if (own)
		*own = '\0'; /* the text before it is an unfinished line of the program */
	if (is_about_generation(line) || is_said(line))
		*line = '\0';
}
