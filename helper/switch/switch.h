/* SPDX-License-Identifier: MIT */
/* The switch: from which moment which generation accepts. */
#pragma once

#include "helper/state/instance.h"

/*
 * Is that listener to be opened in `to` by the next switch?  It is when `to` has taken it up, and
 * waits on it or needs not be seen to (->trusted), or when nobody accepts there: then nothing is
 * taken from anybody.
 */
bool switch_is_due(struct instance *instance, const struct generation *to, uint32_t listener);

/*
 * Opens the gates of all listeners that are due in `to`, after closing them everywhere else.  For
 * the first generation, an upgrade and a listener bound late it is the same act.  Takes well under a
 * millisecond; at most SWITCH_PATIENCE for each other generation with a process that is stuck in
 * accept. Returns the time from the closing of the gates to the last accept of those that had them
 * open.
 */
#define SWITCH_PATIENCE SECOND
nanoseconds switch_to(struct instance *instance, struct generation *to);

/*
 * A roll-back, when ->current is the earlier generation again: every listener that `failed` (NULL: it
 * has gone already) had taken over is opened in the newest of the others that has had it open; what
 * nobody has had open, in the current one.  Time and patience as above.
 */
nanoseconds switch_back(struct instance *instance, struct generation *failed);

/*
 * Closes every gate of `from`, which had them open, and opens none: who comes waits in the queue.
 * Time and patience as above.
 */
nanoseconds switch_off(struct instance *instance, struct generation *from);

/* The second half of it: who is blocked behind a gate that is closed already is woken. */
nanoseconds switch_release(struct instance *instance, struct generation *from);

/* What a listener's gate must be at when `generation` takes it up now. */
uint32_t switch_first_word(
        struct instance *instance, const struct generation *generation, uint32_t listener);

/* Sets all gates as the launcher has decided, if keepers have opened some (helper/process/keeper.h). */
void switch_assert(struct instance *instance);
