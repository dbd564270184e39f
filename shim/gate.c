/* SPDX-License-Identifier: MIT */
/* Sleeping at a closed gate, and reservations whose holder is gone. */
#include "shim/gate.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <time.h>

#include "shim/raw.h"
#include "shim/real.h"

_Atomic uint32_t gate_edition = 1;
__thread struct gate_thread gate_thread;

/*
 * glibc keeps the values of higher keys in memory that pthread_setspecific() allocates; musl keeps
 * all values in the thread.  This key is made before main(), so it is one of the first.
 */
enum { KEYS_IN_THREAD = 32 };
static pthread_key_t key;
static bool has_key;
static void (*_Atomic watcher)(void); /* the one of shim/scratch.c */

void gate_withdraw(void)
{
	struct gate_thread *mine = &gate_thread;
	if (!mine->frame || mine->pid != member_pid())
		return;
	mine->frame = 0;
	atomic_fetch_sub(&mine->slot->inflight, 1);
}

/* The thread ends, by return or by cancellation: a reservation that it still holds is abandoned. */
static void thread_ends(void *unused)
{
	(void)unused;
	gate_thread.registered =
	        false; /* a later destructor may accept once more, and so come back here */
	gate_withdraw();
	void (*watching)(void) = atomic_load_explicit(&watcher, memory_order_relaxed);
	if (watching)
		watching();
}

void gate_start(void)
{
	has_key = real.pthread_key_create && real.pthread_setspecific &&
	          real.pthread_key_create(&key, thread_ends) == 0 && key < KEYS_IN_THREAD;
}

static bool is_within(const stack_t *stack, uintptr_t frame)
{
	return !(stack->ss_flags & SS_DISABLE) && frame - (uintptr_t)stack->ss_sp < stack->ss_size;
}

/*
 * On one stack, which grows downwards, a function has been left by a jump if the frame entered now
 * is at the same place or above.  Otherwise this is a signal handler that has interrupted it.  A
 * handler on an alternate stack interrupts functions on the usual stack, never the other way round.
 */
bool gate_is_abandoned(uintptr_t older, uintptr_t frame)
{
	stack_t alternate = {.ss_flags = SS_DISABLE};
	raw(SYS_sigaltstack, NULL, &alternate);
	bool on_alternate = is_within(&alternate, frame);
	if (on_alternate != is_within(&alternate, older))
		return !on_alternate;
	return older <= frame;
}

static void register_thread(void)
{
	struct gate_thread *mine = &gate_thread;
	if (mine->registered)
		return;
	mine->registered = true;
	if (has_key)
		real.pthread_setspecific(key, mine);
}

void gate_watch_thread(void (*ends)(void))
{
	atomic_store_explicit(&watcher, ends, memory_order_relaxed);
	register_thread();
}

bool gate_enter_slowly(uintptr_t frame)
{
	struct gate_thread *mine = &gate_thread;
	register_thread();
	if (mine->sleeper && gate_is_abandoned(mine->sleeper, frame)) {
		mine->sleeper = 0;
		real.pthread_setcanceltype(mine->cancel_type, NULL);
	}
	if (!mine->frame || mine->pid != member_pid())
		return true;
	if (gate_is_abandoned(mine->frame, frame))
		mine->frame = frame; /* counted for another function, and now this one's */
	return false;
}

/*
 * Where a filter denies the futex: a short sleep by any call that the filter allows.  A limit of
 * the daemon's is not kept then.
 */
static long nap(void)
{
	struct timespec t = {0, 5000000};
	long result = raw(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &t, NULL);
	if (result == -EPERM)
		result = raw(SYS_nanosleep, &t, NULL);
	if (result == -EPERM)
		result = raw(SYS_ppoll, NULL, 0, &t, NULL, 0);
#ifdef SYS_poll
	if (result == -EPERM)
		result = raw(SYS_poll, NULL, 0, 5);
#endif
	if (result == -EPERM)
		result = raw(SYS_pselect6, 0, NULL, NULL, NULL, &t, NULL);
	if (result == -EPERM)
		result = raw(SYS_sched_yield);
	return result == -EINTR ? result : 0;
}

int gate_sleep(int listener, uint32_t word, int64_t limit_us)
{
	struct timespec limit = {limit_us / 1000000, limit_us % 1000000 * 1000};
	struct gate_thread *mine = &gate_thread;
	uintptr_t outer = mine->sleeper;
	int outer_type = mine->cancel_type, type = 0;
	if (real.pthread_setcanceltype) { /* a raw system call is no cancellation point */
		real.pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
		mine->cancel_type = type;
		mine->sleeper = GATE_FRAME;
	}
	long result = raw(SYS_futex, &gate_of(listener)->word, FUTEX_WAIT, word,
	        limit_us >= 0 ? &limit : NULL);
	if (result == -EPERM)
		result = nap();
	if (real.pthread_setcanceltype) {
		mine->sleeper = outer;
		mine->cancel_type = outer_type;
		real.pthread_setcanceltype(type, NULL);
	}
	return result == -EAGAIN ? 0 : (int)result;
}
