/* SPDX-License-Identifier: MIT */
/* Socket options of a listener. */
#include "shim/adopt_option.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>

#include "shim/gate.h"
#include "shim/member_ask.h"
#include "shim/raw.h"
#include "shim/real.h"

#ifndef MCAST_JOIN_GROUP
#define MCAST_JOIN_GROUP         42
#define MCAST_LEAVE_GROUP        45
#define MCAST_JOIN_SOURCE_GROUP  46
#define MCAST_LEAVE_SOURCE_GROUP 47
#endif

/* The template, for the caller to close; -1: the options are those of the socket itself. */
static int template_of(int listener, int fd)
{
	struct moult_request request = {.verb = MOULT_TEMPLATE, .listener = listener};
	struct moult_reply reply;
	int template = -1;
	if (gate_state(listener) != MOULT_GATE_WARMING)
		return -1;
	(void)member_ask(&request, fd, -1, &reply, &template);
	return template;
}

static bool is_join(int level, int name)
{
	return (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == MCAST_JOIN_GROUP ||
	                                       name == IP_ADD_SOURCE_MEMBERSHIP ||
	                                       name == MCAST_JOIN_SOURCE_GROUP)) ||
	       (level == IPPROTO_IPV6 && (name == IPV6_JOIN_GROUP || name == MCAST_JOIN_GROUP ||
	                                         name == MCAST_JOIN_SOURCE_GROUP));
}

static bool is_leave(int level, int name)
{
	return (level == IPPROTO_IP && (name == IP_DROP_MEMBERSHIP || name == MCAST_LEAVE_GROUP ||
	                                       name == IP_DROP_SOURCE_MEMBERSHIP ||
	                                       name == MCAST_LEAVE_SOURCE_GROUP)) ||
	       (level == IPPROTO_IPV6 && (name == IPV6_LEAVE_GROUP || name == MCAST_LEAVE_GROUP ||
	                                         name == MCAST_LEAVE_SOURCE_GROUP));
}

/*
 * Multicast groups belong to the shared socket.  The generation before has joined already, so
 * joining again is no error.  A generation whose gate is not open must not leave: the other one
 * stays.
 */
static int set_membership(
        int listener, int fd, int level, int name, const void *value, socklen_t length)
{
	int saved = errno;
	if (is_leave(level, name) && gate_state(listener) != MOULT_GATE_OPEN)
		return 0;
	int result = real.setsockopt(fd, level, name, value, length);
	if (result < 0 && errno == EADDRINUSE && gate_state(listener) == MOULT_GATE_WARMING) {
		errno = saved;
		result = 0;
	}
	return result;
}

int adopt_set_option(int listener, int fd, int level, int name, const void *value, socklen_t length)
{
	if (is_join(level, name) || is_leave(level, name))
		return set_membership(listener, fd, level, name, value, length);
	int template = template_of(listener, fd);
	if (template <0)
		return real.setsockopt(fd, level, name, value, length);
	int result = real.setsockopt(template, level, name, value, length);
	raw(SYS_close, template);
	return result;
}

/*
 * Options that only the socket itself knows; all others are as the daemon set them on the template.
 */
static bool is_state(int level, int name)
{
	return (level == SOL_SOCKET && (name == SO_ACCEPTCONN || name == SO_ERROR)) ||
	       (level == IPPROTO_TCP && name == TCP_INFO);
}

int adopt_get_option(int listener, int fd, int level, int name, void *value, socklen_t *length)
{
	int template = is_state(level, name) ? -1 : template_of(listener, fd);
	int result = real.getsockopt(template >= 0 ? template : fd, level, name, value, length);
	if (template >= 0)
		raw(SYS_close, template);
	/* A socket that will only listen at the switch is shown to the daemon as listening. */
	if (result < 0 || !value || !length || gate_is_datagram(listener) ||
	        gate_state(listener) != MOULT_GATE_WARMING)
		return result;
	if (level == SOL_SOCKET && name == SO_ACCEPTCONN && *length == sizeof(int))
		*(int *)value = 1;
	if (level == IPPROTO_TCP && name == TCP_INFO && *length > 0)
		*(uint8_t *)value = TCP_LISTEN; /* tcpi_state, the first byte */
	return result;
}
