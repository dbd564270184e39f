/* SPDX-License-Identifier: MIT */
/*
 * Which epoll instances watch a listener of ours.
 *
 * What the daemon asked for is kept in a record; the kernel has it only while the gate is open.
 * When the gate closes the listener leaves every epoll (or a process that may not accept would be
 * woken, and spin, for each connection), when it opens it comes back, which re-checks readiness.
 *
 * Nobody holds a lock here.  Every actor acts first and then looks again: whoever changed the
 * kernel's list last has read the gate and the record after doing so (how: interest.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/* epoll_ctl() on descriptor `fd`, which is `listener`. Result and errno as epoll_ctl's. */
int interest_ctl(int epoll, int operation, int fd, struct epoll_event *event, int listener);

/* Makes the kernel's lists agree with the gates. Cheap when they do. */
void interest_settle(void);

/* Do we watch any listener in any epoll? If so mark those as waited on. */
void interest_mark_waiting(void);

/* Does an epoll of ours watch it, now or when its gate opens? */
bool interest_watches(int listener);

/*
 * `fd` is about to be closed or replaced: take it out first.  Afterwards the entry of a socket that
 * lives on elsewhere would fire for ever and could not be removed.  Only the process that added it
 * does so: epoll objects are shared with forked children, whose DEL would make the parent deaf.
 */
void interest_drop(int fd);

/* The epoll instance `epoll` is about to be closed by this process. */
void interest_drop_epoll(int epoll);

/*
 * Finds registrations of `fd` made before it was known to be a listener (read from
 * /proc/self/fdinfo).  With `fresh` they belong to a socket that the daemon's number is about to be
 * taken from: they are removed from the kernel and only recorded.
 */
void interest_discover(int fd, int listener, int fresh);

/* The same for all listeners, in the epolls that are known to watch one: an epoll was closed. */
void interest_rediscover(void);

/*
 * A thread goes to sleep in a native epoll_wait(), and is back.  Should a listener whose gate is
 * closed be added meanwhile, nobody tells it: the entry then stays in the kernel until it, or
 * another thread, comes to wait again, and the listener counts as waited for.  `frame`: of the function
 * that calls epoll_wait() between the two (GATE_FRAME).
 */
void interest_sleep_begins(int epoll, uintptr_t frame);
void interest_sleep_ends(int epoll, uintptr_t frame);

/* Has this process ever called epoll_ctl()? Without it there is nothing to discover. */
extern _Atomic int interest_possible;
