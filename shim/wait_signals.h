/* SPDX-License-Identifier: MIT */
/* Which signals are blocked between two slices of a wait. */
#pragma once

#include <signal.h>
#include <stdbool.h>

/*
 * Between two slices no signal is delivered: its handler is to interrupt the wait, which it would
 * miss there.  The kernel puts the daemon's own mask, or that of the call, in place for a slice.
 *
 * But a handler with SA_SIGINFO can see in its third argument what was blocked where it interrupted,
 * and SBCL's end the process if it is what it never is.  A signal of those is held by nobody, and one
 * that comes in the microsecond between two slices is handled there: as if it had come just before
 * the call, which a program that waits without a mask must reckon with.
 */
struct held_signals {
	sigset_t before;
	bool held;
};

/* `call`: which puts the mask in place.  Where it is forbidden, a signal may be missed. */
const sigset_t *wait_signals_hold(struct held_signals *held, const sigset_t *mask, long call);
void wait_signals_release(const struct held_signals *held);

/* Finds out which handlers there are. */
void wait_signals_look(void);
