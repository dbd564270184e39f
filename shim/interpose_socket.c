/* SPDX-License-Identifier: MIT */
/* bind, listen, accept, shutdown. */
#include "shim/interpose.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/real.h"

INTERPOSE(int, bind, int fd, const struct sockaddr *address, socklen_t length)
{
	return member_page ? listener_bind(fd, address, length) : real.bind(fd, address, length);
}

INTERPOSE(int, listen, int fd, int backlog)
{
	return member_page ? listener_listen(fd, backlog) : real.listen(fd, backlog);
}

INTERPOSE(int, accept, int fd, struct sockaddr *address, socklen_t *length)
{
	int listener = listener_of(fd);
	return listener < 0 ? real.accept(fd, address, length)
	                    : listener_accept(listener, fd, address, length, -1);
}

INTERPOSE(int, accept4, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	int listener = flags < 0 ? -1 : listener_of(fd);
	return listener < 0 ? real.accept4(fd, address, length, flags)
	                    : listener_accept(listener, fd, address, length, flags);
}

INTERPOSE(int, shutdown, int fd, int how)
{
	int listener = listener_of(fd);
	if (listener < 0 || how == SHUT_WR)
		return real.shutdown(fd, how);
	return listener_shutdown(listener, fd, how);
}
