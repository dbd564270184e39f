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
 * The shared socket takes the place of the daemon's, under the daemon's own number and with its
 * FD_CLOEXEC.  `stored` is consumed.  False: another thread opens that number at this moment.
 */
bool adopt_take_place(int fd, int listener, int stored);

/* UNIX sockets have been bound that are not announced before they listen, and may be moved. */
bool adopt_has_bound_paths(void);
