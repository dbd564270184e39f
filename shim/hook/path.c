/* SPDX-License-Identifier: MIT */
/*
 * unlink and rename: the path of a live UNIX socket belongs to the launcher, and the pid file to the
 * newest generation that it names.
 *
 * A daemon removes the path before it binds, which would cut the running generation off, and when it
 * exits, which would cut off the next.  It is told that it has; the launcher removes the path at the
 * end if the last generation had.
 *
 * Nearly half of all daemons remove their pid file by its name when they exit, whoever it names by
 * then.  A generation that a newer one is beside asks the launcher about every small file that it
 * removes; all others ask nobody.  The launcher reads the file, not we: whoever closes any
 * descriptor of a file loses all his POSIX locks on it, and a daemon may have one on just this.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "shim/adopt_path.h"
#include "shim/hook/interpose.h"
#include "shim/member.h"
#include "shim/place.h"
#include "shim/raw.h"
#include "shim/real.h"

enum fate { REMOVED, STAYS, MISSING };

static uint32_t newness(void)
{
	return member_board ? atomic_load_explicit(&member_board->newness, memory_order_relaxed)
	                    : MOULT_IS_NEWEST;
}

/*
 * Between the creation of a pid file and the write into it a starting generation does little.  Whoever
 * removes many empty files, all of them other ones, waits ever less for each.
 */
enum { EMPTY_LOOKS = 50 };
static _Atomic int empty_looks = EMPTY_LOOKS;

static enum place_file look_until_written(int at, const char *path)
{
	const struct timespec pause = {0, 1000000};
	enum place_file file = place_file(at, path, true);
	if (file != PLACE_EMPTY)
		return file;
	int looks = atomic_load_explicit(&empty_looks, memory_order_relaxed);
	for (int i = 0; file == PLACE_EMPTY && i < looks && newness() == MOULT_NEWER_IS_STARTING;
	        i++) {
		raw(SYS_nanosleep, &pause, NULL);
		file = place_file(at, path, true);
	}
	if (file == PLACE_EMPTY)
		looks = newness() == MOULT_NEWER_IS_STARTING ? looks / 2 : EMPTY_LOOKS;
	else
		looks = EMPTY_LOOKS;
	atomic_store_explicit(&empty_looks, looks, memory_order_relaxed);
	return file;
}

/*
 * What is not there is not there: were libc asked once more, the newer generation might have made
 * its file meanwhile.
 */
static enum fate fate_of_file(int at, const char *path)
{
	if (member_is_borrowed())
		return REMOVED;
	enum place_file file = look_until_written(at, path);
	if (file == PLACE_NOTHING)
		return MISSING;
	return file == PLACE_SMALL && adopt_keeps_file(at, path) ? STAYS : REMOVED;
}

/* STAYS: it is a live socket's, or a newer generation's; the daemon shall believe that it is gone. */
static enum fate fate_of(int at, const char *path)
{
	int listener = place_is_possible() ? place_listener(at, path, false) : -1;
	if (listener >= 0)
		return !member_is_borrowed() && place_is_writable(at, path) &&
		                       adopt_unlinked(listener, at, path)
		               ? STAYS
		               : REMOVED;
	return newness() == MOULT_IS_NEWEST ? REMOVED : fate_of_file(at, path);
}

static int told(enum fate fate)
{
	if (fate == STAYS)
		return 0;
	errno = ENOENT;
	return -1;
}

INTERPOSE(int, unlink, const char *path)
{
	enum fate fate = fate_of(AT_FDCWD, path);
	return fate == REMOVED ? real.unlink(path) : told(fate);
}

INTERPOSE(int, unlinkat, int directory, const char *path, int flags)
{
	enum fate fate = flags ? REMOVED : fate_of(directory, path);
	return fate == REMOVED ? real.unlinkat(directory, path, flags) : told(fate);
}

INTERPOSE(int, remove, const char *path)
{
	enum fate fate = fate_of(AT_FDCWD, path);
	if (fate != REMOVED)
		return told(fate);
	if (!real.remove)
		real_resolve();
	return real.remove(path);
}

/* ---- those who empty it, perhaps because they may no longer remove it ---- */

static bool stays_full(const char *path)
{
	return newness() != MOULT_IS_NEWEST && !member_is_borrowed() &&
	       place_file(AT_FDCWD, path, false) == PLACE_SMALL && adopt_keeps_file(AT_FDCWD, path);
}

/* Only what exists is emptied, and by nobody who goes on to write: then it would be created, too. */
static int flags_of_open(const char *path, int flags)
{
	bool empties = (flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY && !(flags & O_CREAT);
	return empties && stays_full(path) ? flags & ~O_TRUNC : flags;
}

INTERPOSE(int, open, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	unsigned mode = va_arg(arguments, unsigned);
	va_end(arguments);
	return real.open(path, flags_of_open(path, flags), mode);
}

INTERPOSE(int, open64, const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	unsigned mode = va_arg(arguments, unsigned);
	va_end(arguments);
	return real.open64(path, flags_of_open(path, flags), mode);
}

static bool is_emptied(const char *path, long length)
{
	return length == 0 && stays_full(path) && place_may_write(AT_FDCWD, path);
}

INTERPOSE(int, truncate, const char *path, long length)
{
	return is_emptied(path, length) ? 0 : real.truncate(path, length);
}

INTERPOSE(int, truncate64, const char *path, long length)
{
	return is_emptied(path, length) ? 0 : real.truncate64(path, length);
}

/* lighttpd keeps its pid file open, which the newer generation may have written over in place. */
static bool is_emptied_open(int fd, long length)
{
	return length == 0 && newness() != MOULT_IS_NEWEST && !member_is_borrowed() &&
	       place_is_small(fd) && adopt_keeps_open_file(fd);
}

INTERPOSE(int, ftruncate, int fd, long length)
{
	return is_emptied_open(fd, length) ? 0 : real.ftruncate(fd, length);
}

INTERPOSE(int, ftruncate64, int fd, long length)
{
	return is_emptied_open(fd, length) ? 0 : real.ftruncate64(fd, length);
}

/* ---- rename ---- */

/* What a rename() means for live sockets; *ret_moved: the one that it moves, to be told of after. */
static bool rename_is_done(int from_at, const char *from, int to_at, const char *to, int *ret_moved)
{
	*ret_moved = -1;
	if (!place_is_possible() || !from || !to || member_is_borrowed())
		return false;
	int over = place_listener(to_at, to, false);
	*ret_moved = place_listener(from_at, from, false);
	return over >= 0 && over != *ret_moved && place_is_writable(to_at, to) &&
	       adopt_replaces(over, from_at, from, to_at, to);
}

INTERPOSE(int, renameat, int from_at, const char *from, int to_at, const char *to)
{
	int moved;
	if (rename_is_done(from_at, from, to_at, to, &moved))
		return 0;
	int result = real.renameat(from_at, from, to_at, to);
	if (result == 0 && member_board && !member_is_borrowed())
		adopt_moved(moved, to_at, to);
	return result;
}

INTERPOSE(int, rename, const char *from, const char *to)
{
	return interposed_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

INTERPOSE(int, renameat2, int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	int moved = -1;
	/* RENAME_NOREPLACE fails if there is a path, RENAME_EXCHANGE keeps both. */
	if (!flags && rename_is_done(from_at, from, to_at, to, &moved))
		return 0;
	int result = real.renameat2(from_at, from, to_at, to, flags);
	if (result == 0 && member_board && !member_is_borrowed())
		adopt_moved(moved, to_at, to);
	return result;
}
