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
