/* SPDX-License-Identifier: MIT */
/*
 * How a socket of the daemon becomes a listener that generations share: on bind() it is replaced by
 * the running generation's, or remembered; on listen() it is announced.  And what the daemon sets on
 * it, or does to its path, before it is its turn.
 *
 * Every function that stands for a libc function returns and sets errno as that does.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

int adopt_bind(int fd, const struct sockaddr *address, socklen_t length);
int adopt_listen(int fd, int backlog);

/*
 * connect() of a generation that is starting to an address that it has not taken up yet, and another
 * generation serves: "is there another instance?".  Then nobody is there.
 */
bool adopt_hides(int fd, const struct sockaddr *address, socklen_t length);

/* connect() has succeeded on a datagram listener: it is no service any more. */
void adopt_connected(int listener, int fd);

/* Options of a listener whose turn has not come go to its template, in the launcher. */
int adopt_set_option(
        int listener, int fd, int level, int name, const void *value, socklen_t length);
int adopt_get_option(int listener, int fd, int level, int name, void *value, socklen_t *length);

/*
 * The daemon removes the path of that live socket.  True: it stays, and the daemon shall believe it
 * gone; false: it is another link to it, or there is no launcher and nobody else needs it.
 */
bool adopt_unlinked(int listener, int at, const char *path);

/*
 * A newer generation exists, and this process removes a small file.  True: it is a newer one's pid file, and
 * stays.
 */
bool adopt_keeps_file(int at, const char *path);

/*
 * The same of an open file.  The launcher is shown the file by its name in /proc/self/fd: a daemon that
 * has gone into a chroot without /proc has its way, and empties the newer one's pid file.
 */
bool adopt_keeps_open_file(int fd);

/*
 * `from` is to be renamed over `to`, the live path of `listener`, or (-1) may be a live socket itself.
 * True: there is nothing left to do; the path keeps the socket it has, and the daemon has that now.
 */
bool adopt_replaces(int listener, int from_at, const char *from, int to_at, const char *to);

/* It has been renamed; -1: one that does not listen yet, if this process has bound such. */
void adopt_moved(int listener, int to_at, const char *to);
