/* SPDX-License-Identifier: MIT */
/*
 * Where the path of a UNIX socket is, and which listener it belongs to.
 *
 * Paths are resolved here, in the daemon: it may have another root, working directory or set of
 * mounts than the launcher.  The path of a live socket is recognised by the file that it names,
 * which the launcher publishes on every generation's board.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/contract.h"

/*
 * Opens the directory that `path` is in (O_PATH, CLOEXEC), for the caller to close, and puts the
 * last component into the request's address.  Returns the descriptor or -errno.
 */
int place_open(int at, const char *path, struct moult_request *request);

/* The same; puts the last component, with a NUL at its end, into `name`. */
int place_open_as(int at, const char *path, char *name, size_t size);

/*
 * The path in a sockaddr_un, with a NUL at its end, in `room` (PLACE_ROOM bytes).  NULL if it has
 * none.
 */
enum { PLACE_ROOM = 109 };
const char *place_of(const struct sockaddr *address, socklen_t length, char *room);

/* The listener whose live socket `path` names, or -1.  `follow`: also through a symbolic link. */
int place_listener(int at, const char *path, bool follow);

/* Is there a socket at `path`? */
bool place_is_socket(int at, const char *path);

/* The listener at that address, of whatever UNIX kind, or -1. */
int place_listener_at(const struct sockaddr *address, socklen_t length);

/* Can there be listeners with a path at all?  Nearly free. */
bool place_is_possible(void);

/*
 * What is at `path`, for a process that is about to remove or empty it: nothing, an empty file, a
 * file as small as a pid file, or anything else.  A file that this process may not `remove` is
 * anything else.  The file is only looked at: opening and closing it would release every POSIX lock
 * that this process has on it.
 */
enum place_file { PLACE_OTHER, PLACE_NOTHING, PLACE_EMPTY, PLACE_SMALL };
enum place_file place_file(int at, const char *path, bool remove);

/* Is the open file as small as a pid file, and not empty? */
bool place_is_small(int fd);

/* Could this process write to what is at `path`, as far as its mode says? */
bool place_may_write(int at, const char *path);

/* Could this process remove what is at `path`, as far as the mode of its directory says? */
bool place_is_writable(int at, const char *path);
