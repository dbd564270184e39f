/* SPDX-License-Identifier: MIT */
/*
 * What a generation has: how many processes and connections, and which of its listeners they hold.
 *
 * The kernel's word (helper/kernel/audit.h), asked by a child (helper/process/errand.h).  A number that could not be
 * had is an old one, and ->count_is_old says so; a listener that could not be looked for is held.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * Begins to count ->connections and ->processes, or lets a count go on.  The instance's `surveyed` is
 * called at the end, whatever has come of it.  `eager`: somebody waits for the number, else an old one
 * may stand for a while.  0 or -errno.
 */
int survey_begin(struct generation *generation, bool eager);

/* The same, and the loop stands still for it, for a moment at most. */
void survey_hurry(struct generation *generation);

/* Nothing is to be concluded from the numbers: they are old, or new ones are on their way. */
bool survey_is_uncertain(const struct generation *generation);

/*
 * Has a count ended since the last call, that began at `since` or later?  *ret_empty: it is a new one,
 * of no connection and with nothing on its way.
 */
bool survey_take(struct generation *generation, nanoseconds since, bool *ret_empty);

/* Does a process of the generation hold that listener?  True also when this cannot be known in time. */
bool survey_holds(struct generation *generation, uint32_t listener);

/* ... any of those it has taken up? */
bool survey_holds_any(struct generation *generation);

/* A look that survey_holds() did not wait for is on its way. */
bool survey_is_looking(const struct generation *generation);
