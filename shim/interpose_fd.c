/* SPDX-License-Identifier: MIT */
/*
 * close and dup in all their spellings, and the flags that fcntl and ioctl set.
 *
 * What is known of a number is forgotten before the real call: right after it the number may be
 * another thread's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ioctl.h>

#include "shim/fdtable.h"
#include "shim/interpose.h"
#include "shim/listener.h"
#include "shim/raw.h"
#include "shim/real.h"

#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC 4
#endif

INTERPOSE(int, close, int fd)
{
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	return real.close(fd);
}

static void closing_from(unsigned first, unsigned last)
{
	unsigned end = (unsigned)atomic_load(&fd_table_end);
	for (unsigned fd = first; fd < end && fd <= last; fd++)
		if (fd_kind((int)fd) != FD_UNKNOWN)
			listener_closing((int)fd);
}

INTERPOSE(int, close_range, unsigned first, unsigned last, int flags)
{
	if (!(flags & CLOSE_RANGE_CLOEXEC) && first <= last)
		closing_from(first, last);
	return real.close_range(first, last, flags);
}

INTERPOSE(void, closefrom, int first)
{
	closing_from(first < 0 ? 0 : (unsigned)first, ~0u);
	real.closefrom(first);
}

INTERPOSE(int, dup, int fd)
{
	int result = real.dup(fd);
	if (result >= 0 && fd_kind(fd) != FD_UNKNOWN)
		listener_duplicated(fd, result);
	return result;
}

/* Will dup2(fd, to) close `to`? Not when it fails, and not when they are the same. */
static bool replaces(int fd, int to)
{
	return fd != to && fd_kind(to) != FD_UNKNOWN && raw(SYS_fcntl, fd, F_GETFD) >= 0;
}

INTERPOSE(int, dup2, int fd, int to)
{
	if (replaces(fd, to))
		listener_closing(to);
	int result = real.dup2(fd, to);
	if (result >= 0 && fd != to && fd_kind(fd) != FD_UNKNOWN)
		listener_duplicated(fd, to);
	return result;
}

INTERPOSE(int, dup3, int fd, int to, int flags)
{
	if (!(flags & ~O_CLOEXEC) && replaces(fd, to))
		listener_closing(to);
	int result = real.dup3(fd, to, flags);
	if (result >= 0 && fd_kind(fd) != FD_UNKNOWN)
		listener_duplicated(fd, to);
	return result;
}

static int control(int fd, int command, long argument)
{
	int listener = command == F_GETFL || command == F_SETFL ? listener_of(fd) : -1;
	if (listener >= 0)
		return command == F_GETFL ? listener_get_flags(listener, fd)
		                          : listener_set_flags(listener, fd, argument);
	int result = real.fcntl(fd, command, argument);
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0 &&
	        fd_kind(fd) != FD_UNKNOWN)
		listener_duplicated(fd, result);
	return result;
}

INTERPOSE(int, fcntl, int fd, int command, ...)
{
	va_list arguments;
	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return control(fd, command, argument);
}

INTERPOSE(int, fcntl64, int fd, int command, ...)
{
	va_list arguments;
	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return control(fd, command, argument);
}

INTERPOSE(int, ioctl, int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);
	int listener = request == FIONBIO ? listener_of(fd) : -1;
	return listener < 0 ? real.ioctl(fd, request, argument)
	                    : listener_set_nonblock(listener, fd, request, argument);
}
