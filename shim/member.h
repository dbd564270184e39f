/* SPDX-License-Identifier: MIT */
/*
 * This process's membership of a generation: the shared memory, its slot there, and the way to ask
 * the launcher.  Without a launcher there is none, and every hook goes straight through to libc.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/contract.h"

/* NULL: inert. Both are set once, in the constructor, before the daemon's first instruction. */
extern const struct moult_board *member_board; /* mapped read-only */
extern struct moult_tally *member_tally;

/*
 * This process's pid, remembered; wrong in a vfork child, which shares our memory.  0: it may not
 * ask (shim/sandbox.h).
 */
pid_t member_pid(void);

/* Are we a vfork child? It must not touch what it shares with its parent. Costs a getpid. */
bool member_is_borrowed(void);

/* This very process, not one it was forked from, binds or accepts. Has it ever? */
void member_serves(void);
bool member_has_served(void);

/*
 * What belongs to one process and not to its forked children.  The kernel empties this page in a
 * child (MADV_WIPEONFORK, Linux 4.14), also when the child was made by a raw clone() that no fork
 * handler sees.
 */
struct member_own {
	_Atomic uint32_t pid;
	_Atomic uint32_t slot;       /* 0: none yet */
	_Atomic uint32_t refused_at; /* the board's sequence + 1 when there was none to be had */
	_Atomic uint32_t serves;
};
extern struct member_own *member_own;
