/* SPDX-License-Identifier: MIT */
/* connect() of a generation that is starting, and connect() on a datagram listener. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/*
 * True if connect() is to fail as if nobody listened: the generation is starting, and asks an
 * address that another generation serves and that it has not bound yet.  A daemon asks so whether
 * another instance is running.
 */
bool adopt_hides(int fd, const struct sockaddr *address, socklen_t length);

/* connect() has succeeded on a datagram listener: a socket with a peer is no service any more. */
void adopt_connected(int listener, int fd);
