/* SPDX-License-Identifier: MIT */
/*
 * System calls that the daemon has forbidden itself.
 *
 * A seccomp filter is made for what the daemon does, and kills it for anything else: also for what
 * we do inside it.  So we read the filter when it is installed, ask it what it says to each call,
 * and make none that it denies (shim/raw.h).  One that was there before the daemon's first
 * instruction we cannot see; whoever wrote that had no single program in mind.
 */
#pragma once

#include <stdbool.h>

/*
 * Before one is installed, for the question may be denied then.  A vfork child's filter is not its
 * parent's, whose memory this is.
 */
bool sandbox_concerns_us(void);

/* This thread has installed a filter (a struct sock_fprog), for all threads or for itself. */
void sandbox_entered(const void *program, bool all_threads);

/* Or may from now on read, write, and end (SECCOMP_MODE_STRICT). */
void sandbox_entered_strictly(void);

/* Is that call denied to this thread? */
bool sandbox_denies(long number);

/*
 * Is one that the library begins with?  Filters outlive exec: a program executed by this thread
 * would be killed for what the daemon's author could not foresee.
 */
bool sandbox_denies_joining(void);
