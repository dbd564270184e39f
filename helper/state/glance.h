/* SPDX-License-Identifier: MIT */
/*
 * A cheap look at a generation: may its connections have changed since they were last counted?
 *
 * Counting reads every link in /proc/PID/fd, 5 us each: with 50 000 connections a quarter of a
 * second in which the launcher answers nobody.  The size of a descriptor table is one stat()
 * (Linux 6.2), and it changes with whatever closes a connection; so do the shim's counters, where
 * another descriptor is opened at the same moment.  This only says when to count again, sooner or
 * later: whether a generation is empty is decided by counting.
 */
#pragma once

#include "helper/kernel/tree.h"
#include "helper/state/generation.h"

struct glance {
	uint64_t signature;   /* of pids, table sizes and counters */
	uint64_t descriptors; /* open in all of them; 0: the kernel does not tell */
};

/* What the shim's counters come to.  Not in a child: slots are taken back on the way. */
uint64_t glance_counters(struct generation *generation);

struct glance glance_at(uint64_t counters, const struct pid_set *processes);

/* Notes that the connections were counted after `glance`, which took that long. */
void glance_counted(struct generation *generation, const struct glance *glance, nanoseconds cost);

/* May what was counted stand for the present? Never when that was nothing. */
bool glance_holds(const struct generation *generation, const struct glance *glance);

/* It does not, but is it worth its cost to count again now? For those whom nobody waits for. */
bool glance_is_due(const struct generation *generation, const struct glance *glance);

/* Is that what limits the cost of counting? Not where counting is cheap, or a glance says nothing. */
bool glance_paces(const struct generation *generation);
