/* SPDX-License-Identifier: MIT */
/* bind, listen, accept, shutdown, connect, and the options of a socket. */
#include "shim/accept.h"
#include "shim/adopt.h"
#include "shim/adopt_connect.h"
#include "shim/adopt_option.h"
#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/hook/interpose.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/place.h"
#include "shim/real.h"

#include <errno.h>

INTERPOSE(int, bind, int fd, const struct sockaddr *address, socklen_t length)
{
	if (!member_board)
		return real.bind(fd, address, length);
	if (fd_kind(fd) >= FD_FOREIGN) /* bind() may make it a listener */
		fd_set_kind(fd, FD_UNKNOWN);
	return adopt_bind(fd, address, length);
}

INTERPOSE(int, listen, int fd, int backlog)
{
	return member_board && !member_is_borrowed() ? adopt_listen(fd, backlog)
	                                             : real.listen(fd, backlog);
}

/* The listener that `fd` is if connections can be accepted from it, else -1. */
static int stream_of(int fd)
{
	int listener = listener_to_accept(fd);
	return listener >= 0 && !gate_is_datagram(listener) ? listener : -1;
}

INTERPOSE(int, accept, int fd, struct sockaddr *address, socklen_t *length)
{
	int listener = stream_of(fd);
	return listener < 0 ? real.accept(fd, address, length)
	                    : accept_gated(listener, fd, address, length, -1);
}

INTERPOSE(int, accept4, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int listener = flags < 0 ? -1 : stream_of(fd);
	return listener < 0 ? real.accept4(fd, address, length, flags)
	                    : accept_gated(listener, fd, address, length, flags);
}

INTERPOSE(int, shutdown, int fd, int how)
{
	int listener = listener_here(fd);
	if (listener < 0 || how == SHUT_WR)
		return real.shutdown(fd, how);
	return listener_shutdown(listener, fd, how);
}

INTERPOSE(int, connect, int fd, const struct sockaddr *address, socklen_t length)
{
	if (member_board && adopt_hides(fd, address, length)) {
		errno = ECONNREFUSED;
		return -1;
	}
	int listener = fd_listener(fd);
	int result = real.connect(fd, address, length);
	if (listener >= 0 && result == 0 && gate_is_datagram(listener) &&
	        address->sa_family != AF_UNSPEC && !member_is_borrowed())
		adopt_connected(listener, fd);
	return result;
}

INTERPOSE(int, setsockopt, int fd, int level, int name, const void *value, socklen_t length)
{
	int listener = fd_listener(fd) < 0 ? -1 : listener_here(fd);
	return listener < 0 ? real.setsockopt(fd, level, name, value, length)
	                    : adopt_set_option(listener, fd, level, name, value, length);
}

INTERPOSE(int, getsockopt, int fd, int level, int name, void *value, socklen_t *length)
{
	int listener = fd_listener(fd) < 0 ? -1 : listener_here(fd);
	return listener < 0 ? real.getsockopt(fd, level, name, value, length)
	                    : adopt_get_option(listener, fd, level, name, value, length);
}
