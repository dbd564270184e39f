/* SPDX-License-Identifier: MIT */
/*
 * Which sockets are a service, and so are shared by generations?  Not shared are sockets that ask
 * questions, and listeners that serve one client.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Is the launcher to be asked about this bind()? */
bool adopt_may_share(int fd, const struct sockaddr *address, socklen_t length);

/*
 * Is this the address of a listener that ends with its client (FTP's passive mode, a forwarded
 * port)?  Such a listener is no service.  The next generation has no use for it, and the client,
 * which has been told the address, may connect after the switch.
 *
 * A process forked for one client: any address that is not known as a service, while it has a
 * client.  A process that serves many clients may open a service late, but not at a port that the
 * kernel chooses and that nobody can know: such a port is for one of its clients, or for itself.
 */
bool adopt_is_of_session(const struct sockaddr *address, socklen_t length);

/* The same for the address that `fd` is bound to. */
bool adopt_is_bound_by_session(int fd);
