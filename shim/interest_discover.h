/* SPDX-License-Identifier: MIT */
/* Finds registrations of a listener that were made before it was known to be one. */
#pragma once

/*
 * Finds registrations of `fd` made before it was known to be a listener (read from
 * /proc/self/fdinfo).  With `fresh` they belong to a socket that the daemon's number is about to be
 * taken from: they are removed from the kernel and only recorded.
 */
void interest_discover(int fd, int listener, int fresh);

/* The same for all listeners, in the epolls that are known to watch one: an epoll was closed. */
void interest_rediscover(void);

/* Has this process ever called epoll_ctl()? Without it there is nothing to discover. */
extern _Atomic int interest_possible;
