/* SPDX-License-Identifier: MIT */
/* connect() of a generation that is starting, and connect() on a datagram listener. */
#include "shim/adopt_connect.h"

#include <stddef.h>
#include <stdint.h>

#include "shim/gate.h"
#include "shim/member_ask.h"
#include "shim/place.h"
#include "shim/socket.h"

/* Is the port served by the instance, and not bound by this generation? */
static bool is_strange_port(uint16_t port)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	uint32_t kind = MOULT_STREAM | (uint32_t)port << MOULT_PORT_SHIFT;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].kind) == kind &&
		        gate_state((int)i) == MOULT_GATE_NONE)
			return true;
	return false;
}

static bool hides_port(int fd, const struct sockaddr *address, socklen_t length)
{
	struct moult_request request = {.verb = MOULT_CALLING, .listener = -1};
	struct moult_reply reply;
	if (length < 16 || length > sizeof(struct sockaddr_storage) || !socket_port(address) ||
	        !is_strange_port(socket_port(address)) || socket_option(fd, SO_TYPE) != SOCK_STREAM)
		return false;
	member_set_address(&request, address, length);
	return member_ask(&request, fd, -1, &reply, NULL) == 0;
}

bool adopt_hides(int fd, const struct sockaddr *address, socklen_t length)
{
	if (!address || length <= sizeof(address->sa_family) || atomic_load(&member_board->serving))
		return false;
	if (socket_is_inet(address->sa_family))
		return hides_port(fd, address, length);
	int listener = place_listener_at(address, length);
	return listener >= 0 && gate_state(listener) == MOULT_GATE_NONE;
}

void adopt_connected(int listener, int fd)
{
	struct moult_request request = {.verb = MOULT_CONNECTED, .listener = listener};
	struct moult_reply reply;
	/* Without a launcher no other generation shares the socket. */
	(void)member_ask(&request, fd, -1, &reply, NULL);
}
