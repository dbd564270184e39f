/* SPDX-License-Identifier: MIT */
/* The switch: from which moment which generation accepts. */
#pragma once

#include "helper/instance.h"

/*
 * Opens every gate of the listeners that `to` holds, after closing them everywhere else.  Forward
 * and back, for the first generation and for a listener bound late, it is the same act.  Takes well
 * under a millisecond; at most SWITCH_PATIENCE when a process of the other generation is stuck in
 * accept. Returns the time from the closing of the gates to the last accept of those that had them
 * open.
 */
#define SWITCH_PATIENCE SECOND
nanoseconds switch_to(struct instance *instance, struct generation *to);

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

/* Sets all gates as the launcher has decided, if keepers have opened some (helper/keeper.h). */
void switch_assert(struct instance *instance);
