/* SPDX-License-Identifier: MIT */
/* What all parts of closer.c share: listeners, epoll instance, and the exit after an error. */
#pragma once

#include <stdbool.h>
#include <sys/epoll.h>

#include "tests/programs/legacy.h"

static int epoll = -1;

#define first  legacy.listeners[0]
#define second legacy.listeners[1]

static void require(bool good, const char *what)
{
	if (!good)
		legacy_die(4, what);
}

static void watch(int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	require(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl add");
}
