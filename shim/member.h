/* SPDX-License-Identifier: MIT */
/*
 * This process's membership of a generation: the shared memory, and which process this is.
 *
 * Without a launcher there is no membership, and every hook goes straight through to libc.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/contract.h"

/*
 * NULL: this process is no member, and the library does nothing.  Both are set once, in the
 * constructor, before the daemon's first instruction.
 */
extern const struct moult_board *member_board; /* mapped read-only */
extern struct moult_tally *member_tally;

/*
 * This process's pid, remembered.  In a vfork child, which shares the parent's memory, this is the
 * parent's pid.  0: a seccomp filter denies getpid() (shim/sandbox.h).
 */
pid_t member_pid(void);

/*
 * Is this a vfork child?  It must not change the memory that it shares with its parent.  Costs a
 * getpid().
 */
bool member_is_borrowed(void);

/*
 * member_serves() notes that this process binds, listens or accepts; member_has_served() says
 * whether it ever has.  What a process does before a fork does not count for its child.
 */
void member_serves(void);
bool member_has_served(void);

/*
 * What belongs to one process, and not to its forked children.  The kernel empties this page in a
 * child (MADV_WIPEONFORK, Linux 4.14), also in a child made by a raw clone() that no fork handler
 * sees.
 */
struct member_own {
	_Atomic uint32_t pid;
	_Atomic uint32_t slot;       /* 0: none yet */
	_Atomic uint32_t refused_at; /* the board's sequence + 1 when the launcher gave none */
	_Atomic uint32_t serves;
};
extern struct member_own *member_own;
