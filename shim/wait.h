/* SPDX-License-Identifier: MIT */
/*
 * epoll_wait, poll and select of a process that has listeners: may a wait go straight to libc?
 *
 * While every gate is open, the waits are libc's.  While a gate is closed, its listener is left out
 * of the wait, and the wait is cut into slices (shim/wait_slice.h), so that an opening gate is
 * noticed.  So the daemon needs no descriptor, no signal and no thread of ours by which the
 * launcher could wake it.
 *
 * A process that slept in the kernel when its gate closed is woken by the next connection, as is
 * the next generation.  After the wake-up the process finds the gate closed.  poll and select then
 * hide the listener.  After epoll_wait, or if the gate closes at that moment, accept() fails with
 * EAGAIN or ECONNABORTED, as POSIX allows.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/select.h>

#include "shim/gate.h"
#include "shim/wait_time.h"

/* May the wait go straight to libc?  First settles what has changed since the last wait. */
int wait_is_plain(void);

/*
 * The same.  Also notes which listeners are waited for.  `frame` is the caller's GATE_FRAME.
 * *ret_deadline is when the wait ends, or WAIT_NEVER_TAKEN.
 */
int wait_epoll_is_plain(int epoll, uintptr_t frame); /* if true, wait_epoll_done() must follow */
int wait_poll_is_plain(
        const struct pollfd *fds, nfds_t count, nanoseconds limit, nanoseconds *ret_deadline);
int wait_select_is_plain(
        int count, const fd_set *readable, nanoseconds limit, nanoseconds *ret_deadline);

/*
 * A native wait may report a connection or datagram that belongs to another generation by now.
 * These take such listeners out of what is ready and return the number that is left.  0: nothing
 * else was ready, so the wait goes on.
 */
int wait_poll_hide(struct pollfd *fds, nfds_t count, int result, nanoseconds deadline);
int wait_select_hide(int count, fd_set *readable, int result, nanoseconds deadline);

/*
 * What a native select() overwrites, saved in case the wait has to go on.  False: no need to save,
 * or the sets are too large.
 */
struct wait_sets {
	unsigned long words[3][16];
};
int wait_select_save(int count, fd_set *const sets[3], struct wait_sets *ret);
void wait_select_restore(int count, fd_set *const sets[3], const struct wait_sets *saved);

/* After a native wait: settles what has changed while the thread slept. */
void wait_done(void);
void wait_epoll_done(int epoll, uintptr_t frame);

/* What is true of this process's gates now, as a set of bits.  First settles what has changed. */
enum {
	WAIT_CLOSED = 1,  /* a listener of this process may not be accepted from now */
	WAIT_WARMING = 2, /* and one of these listeners opens soon */
};
unsigned wait_findings(void);

/* When a gate was last found closed. */
nanoseconds wait_closed_at(void);

/* Is the listener's gate closed now? */
static inline bool wait_is_closed(int listener)
{
	return !gate_is_open(atomic_load(&gate_of(listener)->word));
}
