/* SPDX-License-Identifier: MIT */
/* Which epoll instances have a thread asleep in epoll_wait(). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * A thread goes to sleep in a native epoll_wait(), and is back.  Should a listener whose gate is
 * closed be added meanwhile, nobody tells it: the entry then stays in the kernel until it, or
 * another thread, comes to wait again, and the listener counts as waited for.  `frame`: of the function
 * that calls epoll_wait() between the two (GATE_FRAME).
 */
void interest_sleep_begins(int epoll, uintptr_t frame);
void interest_sleep_ends(int epoll, uintptr_t frame);

bool interest_has_sleepers(int epoll);

/* Somebody sleeps there, for whom an entry is left: whoever wakes up has it settled again. */
bool interest_sleep_leaves(int epoll);
