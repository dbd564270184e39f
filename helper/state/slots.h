/* SPDX-License-Identifier: MIT */
/*
 * The slots of a generation's tally: which process counts where.
 *
 * The launcher hands slots out and remembers the process by what the kernel says (the pid in the
 * launcher's own namespace and the time of birth), so a count always belongs to a process of which
 * the launcher can tell whether it lives.  The counts themselves are the processes' words.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/contract.h"

struct slot_owner {
	pid_t pid;      /* 0: the slot is free */
	uint64_t birth; /* in clock ticks after boot, /proc/PID/stat field 22 */
};

struct slots {
	struct moult_tally *tally; /* the generation's */
	struct slot_owner *owners; /* MOULT_SLOTS of them */
	uint32_t used;             /* slots given so far are below; slot 0 is nobody's */
	uint32_t sweep_at; /* when so many are used, those of dead processes are taken back */
	uint64_t accepted_before; /* by processes whose slot has been taken back */
	uint64_t datagrams_before;
};

/* 0 or -ENOMEM. `tally` stays the caller's. */
int slots_init(struct slots *slots, struct moult_tally *tally);
void slots_deinit(struct slots *slots);

/* The slot of that process, the same each time it asks; -ENOSPC, -ESRCH. */
int slots_give(struct slots *slots, pid_t pid);

/* The process has just executed a program: nothing of what it had in flight before goes on. */
void slots_empty(struct slots *slots, pid_t pid);

/* Accepts between reservation and return, of processes that live. */
unsigned slots_inflight(const struct slots *slots);

/* Sums: hints for people and for the pace of looks. */
uint64_t slots_accepted(const struct slots *slots);
uint64_t slots_datagrams(const struct slots *slots);
uint64_t slots_open_hint(const struct slots *slots);

/* Does a process other than `main` live that has a slot? */
bool slots_has_others(const struct slots *slots, pid_t main);
