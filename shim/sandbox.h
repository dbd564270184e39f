/* SPDX-License-Identifier: MIT */
/*
 * System calls that a seccomp filter of the daemon's own denies.
 *
 * The daemon's filter is written for what the daemon does.  It may kill the daemon for any other
 * call, also for those of this library.  So the library reads the filter when the daemon installs
 * it, runs the filter for each system call, and makes none of the calls that it denies
 * (shim/raw.h).  A filter from before the daemon's first instruction cannot be read; it was not
 * written for a single program.
 */
#pragma once

#include <stdbool.h>

/*
 * To be called before a filter is installed.  True if the filter is this process's.  Also asks for
 * the process's slot: the filter may deny that question.  False in a vfork child: its filter is not
 * its parent's, but the memory is.
 */
bool sandbox_concerns_us(void);

/* This thread has installed a filter (a struct sock_fprog), for itself or for all threads. */
void sandbox_entered(const void *program, bool all_threads);

/* This thread may from now on only read, write and exit (SECCOMP_MODE_STRICT). */
void sandbox_entered_strictly(void);

/* Does a filter deny that call to this thread? */
bool sandbox_denies(long number);

/*
 * Does a filter deny a call that the library makes when it starts?  Filters outlive exec, so a
 * program that this thread executes would be killed by a call that the daemon's author could not
 * foresee.
 */
bool sandbox_denies_joining(void);
