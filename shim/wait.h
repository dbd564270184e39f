/* SPDX-License-Identifier: MIT */
/*
 * epoll_wait, poll and select of a process that has listeners.
 *
 * While every gate is open they are libc's.  While one is closed the listener is left out of what
 * is waited for, and the wait is cut into slices, so that an opening gate is noticed: nothing of
 * ours is parked in the daemon for the launcher to ring, no signal is sent and no thread added.  A
 * generation that warms up looks four times a millisecond at first, one that drains five times a
 * second at last.
 *
 * A process that slept in the kernel when its gate closed is woken by the next connection, as the
 * next generation is; it then finds out here.  poll and select do not say that the listener is ready
 * then; after epoll_wait, or if the gate closes right then, accept fails with EAGAIN or ECONNABORTED,
 * as POSIX allows.
 */
#pragma once

#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

/*
 * How long a wait lasts, as a limit, and when it ends, by CLOCK_MONOTONIC.  The deadline is found
 * once, when the daemon calls; whatever the wait is made of has what is left.
 */
typedef int64_t nanoseconds;
#define WAIT_FOREVER     INT64_MAX
#define WAIT_NEVER_TAKEN INT64_MIN /* as a deadline: nothing may come for which it were needed */

static inline nanoseconds wait_limit(const struct timespec *t)
{
	const nanoseconds second = 1000000000;
	return !t || t->tv_sec > INT64_MAX / second / 4 ? WAIT_FOREVER
	                                                : t->tv_sec * second + t->tv_nsec;
}

nanoseconds wait_deadline(nanoseconds limit);

/* Each as its namesake; the spelling with the most general timeout and a signal mask (or NULL). */
int wait_epoll(int epoll, struct epoll_event *events, int count, const struct timespec *timeout,
        const sigset_t *mask);
int wait_poll(struct pollfd *fds, nfds_t count, nanoseconds deadline, const sigset_t *mask);
int wait_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        nanoseconds deadline, const sigset_t *mask, struct timespec *ret_left);

/* What the kernel would refuse with EINVAL goes to it as it is. */
static inline int wait_time_is_right(const struct timespec *t)
{
	return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}

/* May the wait go straight to libc? Settles what has changed since the last one. */
int wait_is_plain(void);

/* The same, and notes which listeners are waited for.  `frame`: the caller's (GATE_FRAME). */
int wait_epoll_is_plain(int epoll, uintptr_t frame); /* if so wait_epoll_done() follows the wait */
int wait_poll_is_plain(
        const struct pollfd *fds, nfds_t count, nanoseconds limit, nanoseconds *ret_deadline);
int wait_select_is_plain(
        int count, const fd_set *readable, nanoseconds limit, nanoseconds *ret_deadline);

/*
 * After a native wait that was told of a connection or datagram which is another generation's by now:
 * takes that out of what is ready.  0: there was nothing else, to be waited on.
 */
int wait_poll_hide(struct pollfd *fds, nfds_t count, int result, nanoseconds deadline);
int wait_select_hide(int count, fd_set *readable, int result, nanoseconds deadline);

/* What a native select() overwrites, for one that has to be waited on; false: no need, or too large. */
struct wait_sets {
	unsigned long words[3][16];
};
int wait_select_save(int count, fd_set *const sets[3], struct wait_sets *ret);
void wait_select_restore(int count, fd_set *const sets[3], const struct wait_sets *saved);

/* After a native wait: leave at once what closed while we slept. */
void wait_done(void);
void wait_epoll_done(int epoll, uintptr_t frame);
