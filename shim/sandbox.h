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

/* Before it is installed, for the question may be denied then: is this the first thread? */
bool sandbox_is_of_process(void);

/* This thread has installed a filter (a struct sock_fprog), for itself or for more than that. */
void sandbox_entered(const void *program, bool of_process);

/* Or may from now on read, write, and end (SECCOMP_MODE_STRICT). */
void sandbox_entered_strictly(bool of_process);

/* Is that call denied to this thread? */
bool sandbox_denies(long number);
