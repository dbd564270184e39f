/* SPDX-License-Identifier: MIT */
/* Which sockets are a service, and so are shared by generations? */
#include "shim/adopt_service.h"

#include <stdint.h>

#include "shim/connection.h"
#include "shim/member.h"
#include "shim/place.h"
#include "shim/raw.h"
#include "shim/socket.h"

/* Is the port, or was it, served by connections (MOULT_STREAM) or by datagrams? */
static bool is_known_port(enum moult_socket_kind what, uint16_t port)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	uint32_t kind = (uint32_t)what | (uint32_t)port << MOULT_PORT_SHIFT;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].kind) == kind)
			return true;
	return false;
}

/*
 * Datagram sockets are also bound to ask questions: those at port 0, and all that a generation
 * binds once it serves, unless the address is known as a service.
 */
static bool is_service(int family, const struct sockaddr *address, socklen_t length)
{
	bool serving = atomic_load(&member_board->serving);
	if (socket_is_inet(family))
		return socket_port(address) &&
		       (!serving || is_known_port(MOULT_DATAGRAM, socket_port(address)));
	return !serving || place_listener_at(address, length) >= 0;
}

/*
 * Is `fd` a connection that came from a listener of ours (by its local address): what accept() has
 * returned, or a copy?
 */
static bool is_client(int fd)
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(name);
	if (raw(SYS_getpeername, fd, &name, &length) < 0)
		return false;
	length = sizeof(name);
	if (raw(SYS_getsockname, fd, &name, &length) < 0 ||
	        socket_option(fd, SO_TYPE) == SOCK_DGRAM)
		return false;
	if (socket_is_inet(name.ss_family))
		return is_known_port(MOULT_STREAM, socket_port((void *)&name));
	return name.ss_family == AF_UNIX && length > sizeof(name.ss_family);
}

/*
 * The kernel gives the lowest free number, and a process that serves one client has few
 * descriptors.
 */
static bool has_client(void)
{
	for (int fd = 0; fd < 1024; fd++)
		if (is_client(fd))
			return true;
	return false;
}

bool adopt_is_of_session(const struct sockaddr *address, socklen_t length)
{
	if (!atomic_load(&member_board->serving))
		return false;
	if (!connection_is_session())
		return socket_is_inet(address->sa_family) && !socket_port(address) &&
		       connection_is_acceptor();
	bool known =
	        socket_is_inet(address->sa_family)
	                ? socket_port(address) && is_known_port(MOULT_STREAM, socket_port(address))
	                : place_listener_at(address, length) >= 0;
	return !known && has_client();
}

bool adopt_may_share(int fd, const struct sockaddr *address, socklen_t length)
{
	if (!address || length <= sizeof(address->sa_family) ||
	        length > sizeof(struct sockaddr_storage) || member_is_borrowed())
		return false;
	int family = address->sa_family, type = socket_option(fd, SO_TYPE);
	if (socket_is_inet(family) && length >= 16 /* includes the port */)
		return type == SOCK_STREAM
		               ? !adopt_is_of_session(address, length)
		               : type == SOCK_DGRAM && is_service(family, address, length);
	return family == AF_UNIX &&
	       (((type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
	                !adopt_is_of_session(address, length)) ||
	               (type == SOCK_DGRAM && is_service(family, address, length)));
}

/* A function of its own: the address is off the stack when listen() is made. */
__attribute__((noinline)) bool adopt_is_bound_by_session(int fd)
{
	struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
	struct sockaddr *address = (void *)&bound;
	socklen_t length = sizeof(bound);
	return raw(SYS_getsockname, fd, &bound, &length) >= 0 &&
	       (socket_is_inet(bound.ss_family) || bound.ss_family == AF_UNIX) &&
	       length > sizeof(bound.ss_family) && adopt_is_of_session(address, length);
}
