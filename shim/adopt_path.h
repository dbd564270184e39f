/* SPDX-License-Identifier: MIT */
/*
 * What the daemon does to files: it removes, empties or renames the path of a socket, or a pid
 * file.  In each case the launcher is asked.
 */
#pragma once

#include <stdbool.h>

/*
 * The daemon removes `path`, which is the path of the live socket `listener`.  True: the path
 * stays, and the daemon is told that it is gone.  False: the daemon's call goes on, because the
 * path is another link to the socket, or because without a launcher no other generation needs it.
 */
bool adopt_unlinked(int listener, int at, const char *path);

/*
 * A newer generation exists, and this process removes or empties a small file.  True: the file is a
 * newer generation's pid file, and stays.
 */
bool adopt_keeps_file(int at, const char *path);

/*
 * The same for an open file.  It is shown to the launcher by its name in /proc/self/fd.  In a
 * chroot without /proc this is not possible, and the answer is false: the daemon empties the pid
 * file.
 */
bool adopt_keeps_open_file(int fd);

/*
 * `from` is to be renamed over `to`, which is the live path of `listener`.  True: nothing is left
 * to do.  The path keeps the socket that it has, the daemon has that socket now, and `from` is
 * removed.
 */
bool adopt_replaces(int listener, int from_at, const char *from, int to_at, const char *to);

/*
 * The daemon has renamed something to `to`: the path of `listener`, or (-1) perhaps the path of a
 * socket that does not listen yet.  Nothing is done for the latter if this process has bound none.
 */
void adopt_moved(int listener, int to_at, const char *to);
