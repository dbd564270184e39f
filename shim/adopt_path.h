/* SPDX-License-Identifier: MIT */
/* What the daemon does to the paths of sockets and pid files. */
#pragma once

#include <stdbool.h>

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
