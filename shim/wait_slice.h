/* SPDX-License-Identifier: MIT */
/* epoll_wait, poll and select while a gate is closed: in slices. */
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <time.h>

#include "shim/wait_time.h"

/* Each as its namesake; the spelling with the most general timeout and a signal mask (or NULL). */
int wait_epoll(int epoll, struct epoll_event *events, int count, const struct timespec *timeout,
        const sigset_t *mask);
int wait_poll(struct pollfd *fds, nfds_t count, nanoseconds deadline, const sigset_t *mask);
int wait_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        nanoseconds deadline, const sigset_t *mask, struct timespec *ret_left);
