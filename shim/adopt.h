/* SPDX-License-Identifier: MIT */
/*
 * How a socket of the daemon becomes a listener that generations share: bind() and listen().
 *
 * On bind() the launcher is asked for the socket of that address.  If a running generation has one,
 * it replaces the daemon's under the daemon's own number.  Otherwise the launcher remembers the
 * address, and keeps the socket once it listens.
 *
 * Functions that stand for a libc function return and set errno as that function does.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

int adopt_bind(int fd, const struct sockaddr *address, socklen_t length);
int adopt_listen(int fd, int backlog);

/*
 * Puts the shared socket `stored` in the place of the daemon's socket, under the daemon's number
 * and with its FD_CLOEXEC.  `stored` is closed.  False if another thread opens that number at this
 * moment.
 */
bool adopt_take_place(int fd, int listener, int stored);

/*
 * Has this process bound UNIX sockets that were not announced to the launcher?  They are announced
 * when they listen; the daemon may move their paths before.
 */
bool adopt_has_bound_paths(void);
