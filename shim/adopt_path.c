/* SPDX-License-Identifier: MIT */
/* What the daemon does to the paths of sockets and to pid files. */
#include "shim/adopt_path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>

#include "shim/adopt.h"
#include "shim/fdtable.h"
#include "shim/member_ask.h"
#include "shim/place.h"
#include "shim/procfs.h"
#include "shim/raw.h"

bool adopt_unlinked(int listener, int at, const char *path)
{
	struct moult_request request = {.verb = MOULT_UNLINKED, .listener = listener};
	struct moult_reply reply;
	int directory = place_open(at, path, &request);
	if (directory < 0)
		return false;
	int error = member_ask(&request, directory, -1, &reply, NULL);
	raw(SYS_close, directory);
	return error == 0;
}

bool adopt_keeps_file(int at, const char *path)
{
	struct moult_request request = {.verb = MOULT_REMOVED, .listener = -1};
	struct moult_reply reply;
	int directory = place_open(at, path, &request);
	if (directory < 0)
		return false;
	int error = member_ask(&request, directory, -1, &reply, NULL);
	raw(SYS_close, directory);
	return error == 0;
}

bool adopt_keeps_open_file(int fd)
{
	struct moult_request request = {.verb = MOULT_REMOVED, .listener = -1};
	struct moult_reply reply;
	static const char start[] = "/proc/self/fd/";
	char path[sizeof(start) + PROCFS_DIGITS];
	/*
	 * O_PATH: the launcher takes no other descriptor here, since closing one could make it
	 * wait.
	 */
	long file = raw(SYS_openat, AT_FDCWD, procfs_name(start, fd, path), O_PATH | O_CLOEXEC);
	if (file < 0)
		return false;
	int error = member_ask(&request, (int)file, -1, &reply, NULL);
	raw(SYS_close, file);
	return error == 0;
}

/* Every descriptor of this process that is listener `from` becomes listener `to`. */
static void replace_all(int from, int to, int stored)
{
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++)
		if (fd_listener(fd) == from) {
			long copy = raw(SYS_fcntl, stored, F_DUPFD_CLOEXEC, 3);
			if (copy >= 0)
				adopt_take_place(fd, to, (int)copy);
		}
	raw(SYS_close, stored);
}

/*
 * A function of its own, so that the request is off the stack when the answer is acted upon.
 * *ret_stored (-1: none) is the socket of the listener, for the caller to close.  *ret_old is the
 * listener that it replaces.
 */
static __attribute__((noinline)) int ask_to_replace(int listener, int from_at, const char *from,
        int to_at, const char *to, int *ret_old, int *ret_stored)
{
	struct moult_request request = {.verb = MOULT_REPLACE, .listener = listener};
	struct moult_reply reply = {.listener = -1};
	int directory = place_open(from_at, from, &request);
	int over = place_open_as(to_at, to, request.other, sizeof(request.other));
	int error = -EINVAL;
	if (directory >= 0 && over >= 0)
		error = member_ask(&request, directory, over, &reply, ret_stored);
	if (directory >= 0)
		raw(SYS_close, directory);
	if (over >= 0)
		raw(SYS_close, over);
	*ret_old = reply.backlog;
	return error;
}

bool adopt_replaces(int listener, int from_at, const char *from, int to_at, const char *to)
{
	int old = -1, stored = -1;
	if (ask_to_replace(listener, from_at, from, to_at, to, &old, &stored) < 0)
		return false;
	if (stored >= 0)
		replace_all(old, listener, stored);
	raw(SYS_unlinkat, from_at, from, 0);
	return true;
}

void adopt_moved(int listener, int to_at, const char *to)
{
	struct moult_request request = {.verb = MOULT_MOVED, .listener = listener};
	struct moult_reply reply;
	if (listener < 0 && (!adopt_has_bound_paths() || !place_is_socket(to_at, to)))
		return;
	int directory = place_open(to_at, to, &request);
	if (directory < 0)
		return;
	(void)member_ask(
	        &request, directory, listener < 0 ? -1 : fd_of_listener(listener), &reply, NULL);
	raw(SYS_close, directory);
}
