/* SPDX-License-Identifier: MIT */
/*
 * close and dup in all their variants, and the flags that fcntl and ioctl set.
 *
 * The table forgets a number before the real call: right after the call, another thread may have
 * opened the same number.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "shim/fdtable.h"
#include "shim/hook/interpose.h"
#include "shim/interest_discover.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/raw.h"
#include "shim/real.h"

#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif

/*
 * To be called before `fd` is closed or replaced.  True if `fd` was an epoll instance and there are
 * other epoll descriptors: one of those may be a duplicate of `fd`, which still has the
 * registrations made through `fd`.
 */
static bool forget(int fd)
{
	unsigned kind = fd_kind(fd);
	if (kind == FD_UNKNOWN)
		return false;
	listener_closing(fd);
	if (kind != FD_EPOLL || member_is_borrowed())
		return false;
	for (int other = 0, end = atomic_load(&fd_table_end); other < end; other++)
		if (fd_kind(other) == FD_EPOLL)
			return true;
	return false;
}

/* The same for all descriptors from `first` to `last`. */
static bool forget_range(unsigned first, unsigned last)
{
	bool moved = false;
	unsigned end = (unsigned)atomic_load(&fd_table_end);
	for (unsigned fd = first; fd < end && fd <= last; fd++)
		moved |= forget((int)fd);
	return moved;
}

/* After the close: finds the listeners that remaining duplicates of such an epoll still watch. */
static int closed(int result, bool moved)
{
	if (moved)
		interest_rediscover();
	return result;
}

INTERPOSE(int, close, int fd)
{
	bool moved = forget(fd);
	return closed(real.close(fd), moved);
}

/*
 * With CLOSE_RANGE_UNSHARE, other threads keep the descriptors that this thread closes, so the
 * table forgets nothing.  In a process of one thread (2 + 1 links of /proc/self/task) the flag
 * changes nothing.
 */
static bool closes_for_all(int flags)
{
	struct stat status;
	return !(flags & CLOSE_RANGE_UNSHARE) ||
	       raw(SYS_newfstatat, AT_FDCWD, "/proc/self/task", &status, 0) < 0 ||
	       status.st_nlink <= 2 + 1;
}

INTERPOSE(int, close_range, unsigned first, unsigned last, int flags)
{
	bool moved = false;
	if (!(flags & ~CLOSE_RANGE_UNSHARE) && first <= last && closes_for_all(flags))
		moved = forget_range(first, last);
	return closed(real.close_range(first, last, flags), moved);
}

INTERPOSE(void, closefrom, int first)
{
	bool moved = forget_range(first < 0 ? 0 : (unsigned)first, ~0u);
	real.closefrom(first);
	closed(0, moved);
}

/* ---- streams: libc closes their descriptors internally (glibc's fcloseall() does not) ---- */

static bool forget_stream(FILE *stream)
{
	if (!member_board || !real.fileno_unlocked)
		return false;
	int saved = errno;
	int fd = real.fileno_unlocked(stream);
	errno = saved;
	return forget(fd);
}

INTERPOSE(int, fclose, FILE *stream)
{
	if (!real.fclose)
		real_resolve();
	bool moved = forget_stream(stream);
	return closed(real.fclose(stream), moved);
}

static FILE *reopened(FILE *result, bool moved)
{
	closed(0, moved);
	return result;
}

INTERPOSE(FILE *, freopen, const char *path, const char *mode, FILE *stream)
{
	if (!real.freopen)
		real_resolve();
	bool moved = forget_stream(stream);
	return reopened(real.freopen(path, mode, stream), moved);
}

INTERPOSE(FILE *, freopen64, const char *path, const char *mode, FILE *stream)
{
	if (!real.freopen64)
		real_resolve();
	if (!real.freopen64) /* musl: freopen() is the same function */
		return interposed_freopen(path, mode, stream);
	bool moved = forget_stream(stream);
	return reopened(real.freopen64(path, mode, stream), moved);
}

/* ---- dup ---- */

INTERPOSE(int, dup, int fd)
{
	int result = real.dup(fd);
	if (result >= 0)
		listener_duplicated(fd, result);
	return result;
}

/* Will dup2(fd, to) close a known `to`?  Not if dup2() fails, and not if both are the same. */
static bool replaces(int fd, int to)
{
	return fd != to && fd_kind(to) != FD_UNKNOWN && raw(SYS_fcntl, fd, F_GETFD) >= 0;
}

INTERPOSE(int, dup2, int fd, int to)
{
	bool moved = replaces(fd, to) && forget(to);
	int result = real.dup2(fd, to);
	if (result >= 0 && fd != to)
		listener_duplicated(fd, to);
	return closed(result, moved);
}

INTERPOSE(int, dup3, int fd, int to, int flags)
{
	bool moved = !(flags & ~O_CLOEXEC) && replaces(fd, to) && forget(to);
	int result = real.dup3(fd, to, flags);
	if (result >= 0)
		listener_duplicated(fd, to);
	return closed(result, moved);
}

static int control(int fd, int command, long argument)
{
	int listener = command == F_SETFL                               ? listener_here(fd)
	               : command == F_GETFL && listener_if_new(fd) >= 0 ? listener_here(fd)
	                                                                : -1;
	if (listener >= 0)
		return command == F_GETFL ? listener_get_flags(listener, fd)
		                          : listener_set_flags(listener, fd, argument);
	int result = real.fcntl(fd, command, argument);
	if ((command == F_DUPFD || command == F_DUPFD_CLOEXEC) && result >= 0)
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
	int listener = request == FIONBIO ? listener_here(fd) : -1;
	return listener < 0 ? real.ioctl(fd, request, argument)
	                    : listener_set_nonblock(listener, fd, request, argument);
}
