/* SPDX-License-Identifier: MIT */
/*
 * unlink, truncate and rename.  The path of a live UNIX socket belongs to the launcher, and a pid
 * file belongs to the newest generation that the file names.
 *
 * A daemon removes the path of its socket before it binds, which would cut off the running
 * generation, and when it exits, which would cut off the next generation.  The hook reports success
 * and leaves the path in place.  The launcher removes the path at the end if the last generation
 * wanted that.
 *
 * Nearly half of all daemons remove their pid file by its name when they exit, whichever process
 * the file names by then.  While a newer generation exists, an older generation asks the launcher
 * about every small file that it removes; the newest generation never asks.  The launcher reads the
 * file, and not the shim: a process that closes any descriptor of a file loses all its POSIX locks
 * on the file, and a daemon may have a lock on its pid file.
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

/* A removal: libc does it; the file stays and the daemon sees success; or it sees ENOENT. */
enum fate { REMOVED, STAYS, MISSING };

static uint32_t newness(void)
{
	return member_board ? atomic_load_explicit(&member_board->newness, memory_order_relaxed)
	                    : MOULT_IS_NEWEST;
}

/*
 * A starting generation writes into its pid file soon after it has created the file.  So the
 * removal of an empty file waits for that write: up to `empty_looks` looks, 1 ms apart.  Each file
 * that stays empty halves the number, so that the removal of many other empty files waits less and
 * less.  A file that has been written, and the end of that start, restore the number.
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
 * A missing file is final: libc would look again, and the newer generation might have created its
 * file meanwhile.
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

/* STAYS: `path` is the path of a live socket, or the pid file of a newer generation. */
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

/* What the daemon is told instead of libc's result. */
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

/* ---- emptying a pid file, as daemons do that may no longer remove it ---- */

static bool stays_full(const char *path)
{
	return newness() != MOULT_IS_NEWEST && !member_is_borrowed() &&
	       place_file(AT_FDCWD, path, false) == PLACE_SMALL && adopt_keeps_file(AT_FDCWD, path);
}

/*
 * An open() with O_TRUNC, but without O_CREAT, only empties the file.  A daemon that goes on to
 * write its pid file opens it with O_CREAT, too, and is left alone.
 */
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

/* lighttpd keeps its pid file open.  The newer generation may have overwritten the same file. */
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

/*
 * True: the rename goes over the path of a live socket, and nothing is left to do.  *ret_moved: the
 * listener whose path moves, or -1; the launcher is told after the rename.
 */
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
	/* RENAME_NOREPLACE fails if `to` exists, RENAME_EXCHANGE keeps both. */
	if (!flags && rename_is_done(from_at, from, to_at, to, &moved))
		return 0;
	int result = real.renameat2(from_at, from, to_at, to, flags);
	if (result == 0 && member_board && !member_is_borrowed())
		adopt_moved(moved, to_at, to);
	return result;
}
