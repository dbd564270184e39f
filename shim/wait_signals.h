/* SPDX-License-Identifier: MIT */
/* Which signals are blocked between two slices of a wait. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * No signal is delivered between two slices.  Its handler is meant to interrupt the wait, and
 * between two slices it would not.  For the length of a slice the kernel puts the daemon's own
 * mask, or the mask of the call, in place.
 *
 * There is an exception.  A handler with SA_SIGINFO can see in its third argument which signals
 * were blocked in the code that it interrupted.  SBCL's handlers end the process if that mask is
 * one that SBCL never sets.  So signals with such a handler are not blocked.  If one comes in the
 * microsecond between two slices, its handler runs there, as if the signal had come just before the
 * call.  A program that waits without a mask must expect that.
 */
struct held_signals {
	sigset_t before;
	bool held;
};

/*
 * Blocks signals, and returns the mask to give to `call`, the system call that puts the mask in
 * place.  If a seccomp filter denies that call, nothing is blocked, and the wait may miss a signal.
 */
const sigset_t *wait_signals_hold(struct held_signals *held, const sigset_t *mask, long call);
void wait_signals_release(const struct held_signals *held);

/* Finds out which signals have handlers, and of which kind.  Called when a gate is found closed. */
void wait_signals_look(void);
