/* SPDX-License-Identifier: MIT */
/* Which signals are blocked between two slices of a wait. */
#include "shim/wait_signals.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/raw.h"
#include "shim/sandbox.h"

/*
 * The signals to block, as a mask: those with a handler that does not see what it has interrupted.
 * libc's own signals, 32 and 33, are not among them: a thread that is being cancelled waits for its
 * signal on the way out of each cancellation point.
 */
static _Atomic uint64_t blind;

void wait_signals_look(void)
{
	struct { /* the kernel's struct sigaction: handler, flags, restorer, mask */
		uintptr_t handler;
		unsigned long flags;
		uint64_t rest[2];
	} action;
	uint64_t found = 0;
	for (int number = 1; number <= 64; number++)
		if (number != 32 && number != 33 &&
		        raw(SYS_rt_sigaction, number, NULL, &action, sizeof(uint64_t)) >= 0 &&
		        action.handler > (uintptr_t)SIG_IGN && !(action.flags & SA_SIGINFO))
			found |= UINT64_C(1) << (number - 1);
	atomic_store(&blind, found);
}

const sigset_t *wait_signals_hold(struct held_signals *held, const sigset_t *mask, long call)
{
	const uint64_t all = atomic_load(&blind);
	*held = (struct held_signals){0};
	held->held = !sandbox_denies(call) &&
	             raw(SYS_rt_sigprocmask, SIG_BLOCK, &all, &held->before, sizeof(all)) >= 0;
	return mask || !held->held ? mask : &held->before;
}

void wait_signals_release(const struct held_signals *held)
{
	if (held->held)
		raw(SYS_rt_sigprocmask, SIG_SETMASK, &held->before, NULL, sizeof(uint64_t));
}
