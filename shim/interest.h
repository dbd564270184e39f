/* SPDX-License-Identifier: MIT */
/*
 * Which epoll instances watch a listener of ours: what the daemon asks for.
 *
 * A record (shim/interest_record.h) keeps what the daemon asked for.  The kernel has the entry only
 * while the gate is open.  When the gate closes, the entry leaves every epoll instance: otherwise a
 * process that may not accept would be woken for each connection, and spin.  When the gate opens,
 * the entry comes back.  Adding it makes the kernel check the queue, so earlier connections are
 * seen.
 *
 * No lock is held.  Every thread acts first and then looks again: the thread that changed the
 * kernel's list last has read the gate and the record after its change (shim/interest_settle.c).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/*
 * epoll_ctl() on descriptor `fd`, which is listener number `listener`.  Result and errno are those
 * of epoll_ctl().
 */
int interest_ctl(int epoll, int operation, int fd, struct epoll_event *event, int listener);

/* Tells the launcher that this process waits on every listener that one of its epolls watches. */
void interest_mark_waiting(void);

/* Does an epoll of this process watch the listener, now or when its gate opens? */
bool interest_watches(int listener);

/*
 * Removes the entries of `fd`, which is about to be closed or replaced.  If an entry stayed and its
 * socket lived on elsewhere, the entry would fire for ever and could not be removed.  Only the
 * process that added an entry removes it: forked children share the epoll object, and a DEL by a
 * child would make the parent deaf.
 */
void interest_drop(int fd);

/* This process is about to close the epoll instance `epoll`. */
void interest_drop_epoll(int epoll);
