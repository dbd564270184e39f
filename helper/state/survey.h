/* SPDX-License-Identifier: MIT */
/*
 * The survey of a generation: how many processes and connections it has, and which of its listeners
 * its processes hold.
 *
 * The kernel says so (helper/kernel/audit.h), asked by a child (helper/process/errand.h).  If not
 * all processes may be looked at, the number of connections is an upper bound
 * (helper/state/remains.h).  If a number cannot be had, the old one stands and ->count_is_old is
 * set.  If a listener cannot be looked for, it counts as held.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * Begins to count ->connections and ->processes, or lets a count go on.  The instance's `surveyed`
 * is called when the count has ended or failed.  `eager`: a caller waits for the number; else an
 * old one may stand for a while.  0 or -errno.
 */
int survey_begin(struct generation *generation, bool eager);

/* Counts eagerly, and makes the loop wait for the number, for a moment at most. */
void survey_hurry(struct generation *generation);

/* Are the numbers old, or is a count under way?  Then nothing can be concluded from them. */
bool survey_is_uncertain(const struct generation *generation);

/* Before the number of connections in a text: "about ", or "" if it is exact. */
const char *survey_about(const struct generation *generation);

/*
 * Has a count ended since the last call that began at `since` or later?  *ret_empty: that count has
 * found no connection and no descriptor in flight (in a UNIX socket's queue).
 */
bool survey_take(struct generation *generation, nanoseconds since, bool *ret_empty);

/* Does a process of the generation hold that listener?  Also true if this is not known in time. */
bool survey_holds(struct generation *generation, uint32_t listener);

/* The same for any listener that the generation has taken up. */
bool survey_holds_any(struct generation *generation);

/* Is a look under way for which survey_holds() has not waited to the end? */
bool survey_is_looking(const struct generation *generation);
