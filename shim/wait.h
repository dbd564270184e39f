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
#include <stdbool.h>
#include <stdint.h>
#include <sys/select.h>

#include "shim/gate.h"
#include "shim/wait_time.h"

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

/* What is so now; settles first if something may have changed. */
enum {
	WAIT_CLOSED = 1,  /* a listener we have may not be accepted from now */
	WAIT_WARMING = 2, /* and one of those will be soon */
};
unsigned wait_findings(void);

/* When a gate was last found closed. */
nanoseconds wait_closed_at(void);

static inline bool wait_is_closed(int listener)
{
	return !gate_is_open(atomic_load(&gate_of(listener)->word));
}
