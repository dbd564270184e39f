/* SPDX-License-Identifier: MIT */
/*
 * The state machine of an instance and of its generations.
 *
 * transitions.c has the two tables: which event may happen in each state, the action, and the state
 * that follows.  All other code in helper/lifecycle/ reports an event here, or is an action of the
 * table (helper/lifecycle/actions.h), or serves these.
 */
#pragma once

#include "helper/lifecycle/events.h"
#include "helper/state/instance.h"

/*
 * Does what the table says, and then the same for the event that the action returns, until there is
 * none.  An action must not call this: it returns its event.  An event that cannot happen in the
 * present state is logged as an error and changes nothing.
 */
void transitions_happen(struct instance *instance, const struct happening *what);

/* The same for an event that needs no more than its name. */
static inline void transitions_event(struct instance *instance, enum event event)
{
	transitions_happen(instance, &(struct happening){.event = event});
}

enum generation_event {
	GENERATION_SWITCHED, /* its gates open */
	GENERATION_REPLACED, /* the gates of the next one open */
	GENERATION_DRAINS,
	GENERATION_VACATES,
	GENERATION_RESUMES, /* it serves again */
	GENERATION_STOPS,   /* it gets the stop signal */
	GENERATION_ENDS,    /* it gets SIGKILL */
	GENERATION_EVENTS
};

/*
 * Changes the state of a generation as its table says.  True: the state is another one now.  An
 * event that cannot happen is logged as an error.
 */
bool transitions_move(struct generation *generation, enum generation_event event);
