/* SPDX-License-Identifier: MIT */
/* Which sockets are a service, which generations share? */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Is this bind() of `fd` to be asked of the launcher? */
bool adopt_may_share(int fd, const struct sockaddr *address, socklen_t length);

/*
 * A listener that ends with its client is no service.  The next generation has no use for it, and
 * the client, who has been told of it, may come to it after the switch.  A process that serves many
 * may open a service late, but not to a port that nobody can know: that is for a client it has, or
 * to talk to itself through.
 */
bool adopt_is_of_session(const struct sockaddr *address, socklen_t length);

bool adopt_is_bound_by_session(int fd);
