/* SPDX-License-Identifier: MIT */
/* connect(): to an address that this generation has not taken up, or of a datagram listener. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/*
 * connect() of a generation that is starting to an address that it has not taken up yet, and another
 * generation serves: "is there another instance?".  Then nobody is there.
 */
bool adopt_hides(int fd, const struct sockaddr *address, socklen_t length);

/* connect() has succeeded on a datagram listener: it is no service any more. */
void adopt_connected(int listener, int fd);
