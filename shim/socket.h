/* SPDX-License-Identifier: MIT */
/* Questions about a socket and its address. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "shim/raw.h"

/* The value of an option of SOL_SOCKET, or -errno. */
static inline int socket_option(int fd, int name)
{
	int value = 0;
	socklen_t size = sizeof(value);
	long result = raw(SYS_getsockopt, fd, SOL_SOCKET, name, &value, &size);
	return result < 0 ? (int)result : value;
}

static inline bool socket_is_inet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static inline uint16_t socket_port(const struct sockaddr *address)
{
	/* The port is at the same place in sockaddr_in and sockaddr_in6. */
	return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}
