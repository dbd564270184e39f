/* SPDX-License-Identifier: MIT */
/*
 * Where a UNIX socket's path is, and which listener it belongs to.
 *
 * Paths are resolved here, in the daemon: it may have another root, working directory or set of
 * mounts than the launcher.  A live socket's path is known by the file it names, which the launcher
 * publishes on every generation's board.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "shim/contract.h"

/*
 * Opens the directory that `path` is in (O_PATH, CLOEXEC; the caller closes it), and puts the last
 * component into the request's address.  -errno.
 */
int place_open(int at, const char *path, struct moult_request *request);

/* The same with the last component, ended by a NUL, in `name`. */
int place_open_as(int at, const char *path, char *name, size_t size);

/* The path in a sockaddr_un, ended by a NUL in `room` (109 bytes); NULL: it has none. */
enum { PLACE_ROOM = 109 };
const char *place_of(const struct sockaddr *address, socklen_t length, char *room);

/* The listener whose live socket the path names, or -1. `follow`: through a symbolic link. */
int place_listener(int at, const char *path, bool follow);

/* Is a socket there? */
bool place_is_socket(int at, const char *path);

/* The listener that has that address, of whatever UNIX kind, or -1. */
int place_listener_at(const struct sockaddr *address, socklen_t length);

/* Are there any such listeners? Nearly free. */
bool place_is_possible(void);

/*
 * What is there, for one who is about to remove or empty it: nothing, an empty file, one as small as
 * a pid file, or what does not concern us, as all that this process may not `remove`.  Only looked
 * at: to open and close it would release every POSIX lock that this process has on it.
 */
enum place_file { PLACE_OTHER, PLACE_NOTHING, PLACE_EMPTY, PLACE_SMALL };
enum place_file place_file(int at, const char *path, bool remove);

/* Is it open, as small as a pid file, and not empty? */
bool place_is_small(int fd);

/* Could this process write to what is at `path`, as far as its mode says? */
bool place_may_write(int at, const char *path);

/* Could this process remove what is at `path`, as far as its directory's mode says? */
bool place_is_writable(int at, const char *path);
