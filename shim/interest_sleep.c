/* SPDX-License-Identifier: MIT */
/* Which epoll instances have a thread asleep in epoll_wait(). */
#include "shim/interest_sleep.h"

#include <stdatomic.h>

#include "shim/gate.h"

/*
 * Sleeping threads by the number of their epoll.  Higher numbers are not counted: a process with
 * that many epolls seldom has all its threads asleep at once.
 */
enum { SLEEPERS = 1024 };
static _Atomic uint16_t sleepers[SLEEPERS];
static _Atomic uint8_t left_there[SLEEPERS]; /* entries were left in this epoll for its sleepers */

/*
 * 1 + another number of the same epoll, under which threads sleep; 0: none is known.  The twin may
 * have been closed since, and its number may be another epoll: then entries are left for sleepers
 * that do not exist, until the generation is the current one.
 */
static _Atomic uint16_t twins[SLEEPERS];

/*
 * The outermost wait of this thread and the frame it is counted for; 0: none.  The wait may never
 * come back: its signal handler has jumped out of it, or it was the wait of a vfork child, which
 * has its parent's thread variables, and the child was killed.  The next wait of the thread then
 * takes the old one off the count.
 */
static __thread struct {
	uintptr_t frame;
	int epoll;
} asleep;

void interest_sleep_begins(int epoll, uintptr_t frame)
{
	if (__builtin_expect(asleep.frame && gate_is_abandoned(asleep.frame, frame), 0)) {
		asleep.frame = 0;
		atomic_fetch_sub(&sleepers[asleep.epoll], 1);
	}
	if ((unsigned)epoll >= SLEEPERS)
		return;
	atomic_fetch_add(&sleepers[epoll], 1);
	if (asleep.frame)
		return;
	asleep.epoll = epoll;
	atomic_signal_fence(memory_order_seq_cst);
	asleep.frame = frame;
}

void interest_sleep_ends(int epoll, uintptr_t frame)
{
	if ((unsigned)epoll >= SLEEPERS)
		return;
	if (asleep.frame == frame)
		asleep.frame = 0;
	atomic_fetch_sub(&sleepers[epoll], 1);
	if (atomic_load(&left_there[epoll]) && atomic_exchange(&left_there[epoll], 0))
		gate_resettle();
}

int interest_sleep_next(int from)
{
	for (int epoll = from; epoll < SLEEPERS; epoll++)
		if (atomic_load(&sleepers[epoll]))
			return epoll;
	return -1;
}

void interest_sleep_shared(int epoll, int twin)
{
	if ((unsigned)epoll < SLEEPERS && twin < SLEEPERS)
		atomic_store(&twins[epoll], (uint16_t)(twin + 1));
}

/* The number under which the threads of this epoll are counted, if any thread is asleep there. */
static int sleeping_number(int epoll)
{
	if ((unsigned)epoll >= SLEEPERS)
		return -1;
	if (atomic_load(&sleepers[epoll]))
		return epoll;
	int twin = atomic_load(&twins[epoll]) - 1;
	return twin >= 0 && atomic_load(&sleepers[twin]) ? twin : -1;
}

bool interest_has_sleepers(int epoll)
{
	return sleeping_number(epoll) >= 0;
}

bool interest_sleep_leaves(int epoll)
{
	int number = sleeping_number(epoll);
	if (number < 0)
		return false;
	atomic_store(&left_there[number], 1);
	return interest_has_sleepers(epoll);
}
