/* SPDX-License-Identifier: MIT */
/*
 * The slots of a generation's tally: which process counts where.
 *
 * The launcher hands out the slots.  It remembers each owner by what the kernel says: the pid in
 * the launcher's own namespace and the time of birth.  So the launcher can always tell whether the
 * process behind a count still lives.  The counts themselves are written by the daemon's processes.
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
	uint32_t used;             /* slots given so far are [1, used); slot 0 is nobody's */
	uint32_t sweep_at; /* when so many are used, slots of dead processes are taken back */
	uint64_t accepted_before; /* by processes whose slots have been taken back */
	uint64_t datagrams_before;
};

/* 0 or -ENOMEM. `tally` stays the caller's. */
int slots_init(struct slots *slots, struct moult_tally *tally);
void slots_deinit(struct slots *slots);

/*
 * The slot of that process, the same each time; -ENOSPC: all are taken; -ESRCH: the process has
 * ended.
 */
int slots_give(struct slots *slots, pid_t pid);

/* Call when the process has executed a program: none of its accepts in flight goes on. */
void slots_empty(struct slots *slots, pid_t pid);

/* How many accepts live processes have between reservation and return. */
unsigned slots_inflight(const struct slots *slots);

/*
 * Sums over all slots.  Hints, for people and for how often to look: the daemon's processes write
 * the counts.
 */
uint64_t slots_accepted(const struct slots *slots);
uint64_t slots_datagrams(const struct slots *slots);
uint64_t slots_open_hint(const struct slots *slots);

/* Does a process with a slot live, other than `main`? */
bool slots_has_others(const struct slots *slots, pid_t main);
