/* SPDX-License-Identifier: MIT */
/*
 * A cheap look at a generation: may its connections have changed since they were last counted?
 *
 * Counting reads every link in /proc/PID/fd, 5 us each: with 50 000 connections a quarter of a
 * second of CPU time.  The number of open descriptors is one stat() of that directory (st_size,
 * Linux 6.2).  Closing a connection changes this number; or, if another descriptor is opened at the
 * same moment, the shim's counters.  A glance only decides whether to count again sooner or later.
 * Only a count decides whether a generation is empty.
 */
#pragma once

#include "helper/kernel/tree.h"
#include "helper/state/generation.h"

struct glance {
	uint64_t signature;   /* hash of pids, numbers of descriptors and counters */
	uint64_t descriptors; /* open in all processes together; 0: the kernel does not tell */
};

/* A hash of the shim's counters, for glance_at(). */
uint64_t glance_counters(struct generation *generation);

/* Looks at the processes; `counters` is from glance_counters(). */
struct glance glance_at(uint64_t counters, const struct pid_set *processes);

/* Notes that the connections have been counted after `glance`, and what the count has cost. */
void glance_counted(struct generation *generation, const struct glance *glance, nanoseconds cost);

/* May the last count stand for the present?  Never if it has found no connection. */
bool glance_holds(const struct generation *generation, const struct glance *glance);

/* If glance_holds() is false and no caller waits: is a new count worth its cost now? */
bool glance_is_due(const struct generation *generation, const struct glance *glance);

/*
 * Do glances limit the cost of counting for this generation?  Not if counting is cheap, or if a
 * glance says nothing.
 */
bool glance_paces(const struct generation *generation);
