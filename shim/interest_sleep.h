/* SPDX-License-Identifier: MIT */
/*
 * Which epoll instances have a thread asleep in epoll_wait().
 *
 * A thread that sleeps in a native epoll_wait() does not look at gates.  If another thread adds a
 * listener whose gate is closed, the sleeping thread does not learn of it.  So the entry stays in
 * the kernel until that thread, or another one, comes to wait again, and the listener counts as
 * waited for.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A thread of this process begins a native epoll_wait(), or has come back from it.  `frame`
 * (GATE_FRAME) is the frame of the function that calls epoll_wait() between the two.
 */
void interest_sleep_begins(int epoll, uintptr_t frame);
void interest_sleep_ends(int epoll, uintptr_t frame);

/* The first number from `from` on under which a thread sleeps, or -1. */
int interest_sleep_next(int from);

/*
 * `twin` is another number of the same epoll instance, under which threads sleep; -1: none is known.
 * From now on these threads count for `epoll`, too.
 */
void interest_sleep_shared(int epoll, int twin);

bool interest_has_sleepers(int epoll);

/*
 * Is a thread asleep there?  If so the caller leaves an entry in the kernel for it, and the next
 * thread that wakes up there has the entry settled again.
 */
bool interest_sleep_leaves(int epoll);
