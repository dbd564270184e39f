/* SPDX-License-Identifier: MIT */
/* The value of an integer socket option. */
#pragma once

#include <sys/socket.h>

/* -1: the descriptor is not a socket, or the socket does not have the option. */
static inline int socket_option(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);
	return getsockopt(fd, level, name, &value, &length) < 0 ? -1 : value;
}
