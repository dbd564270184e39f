/* SPDX-License-Identifier: MIT */
/*
 * epoll_wait, poll and select while a gate is closed.
 *
 * The listener is left out of the wait, and the wait is cut into slices.  After each slice the
 * gates are looked at again.  A generation that warms up looks every 0.25 ms at first and every 10
 * ms at last; a generation that drains looks every 200 ms at last.
 */
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "shim/wait_time.h"

/*
 * Each is the function of that name, in the spelling with the most general timeout and a signal
 * mask (or NULL).  *ret_left: the time that was left.
 */
int wait_epoll(int epoll, struct epoll_event *events, int count, const struct timespec *timeout,
        const sigset_t *mask);
int wait_poll(struct pollfd *fds, nfds_t count, nanoseconds deadline, const sigset_t *mask);
int wait_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        nanoseconds deadline, const sigset_t *mask, struct timespec *ret_left);
