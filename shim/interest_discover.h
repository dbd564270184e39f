/* SPDX-License-Identifier: MIT */
/* Finds epoll registrations of a socket that were made before it was known to be a listener. */
#pragma once

#include <stdbool.h>

/*
 * Reads the registrations of `fd`, which is listener number `listener`, from /proc/self/fdinfo, and
 * records them.  `fresh`: they belong to a socket that is about to be replaced under this number,
 * so they are removed from the kernel and only recorded.
 */
void interest_discover(int fd, int listener, int fresh);

/*
 * The same for all listeners, in the epolls that are known to watch one.  Called when such an epoll
 * has been closed.
 */
void interest_rediscover(void);

/*
 * The entry of `fd` was just added by the number `epoll`.  Does a thread sleep in the same epoll
 * instance under another number?  mio (Rust) waits by one number and registers by a duplicate.
 */
bool interest_discover_sleepers(int epoll, int fd);

/* Has this process ever called epoll_ctl()?  If not, there is nothing to discover. */
extern _Atomic int interest_possible;
