/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance.  Every part of the launcher works on this struct. */
#pragma once

#include "helper/base/loop.h"
#include "helper/check/inspect.h"
#include "helper/state/fdstore.h"
#include "helper/state/generation.h"

/* helper/lifecycle/transitions.c has the table of what leads from one state to another. */
enum instance_state {
	INSTANCE_STARTING,      /* nobody serves; the next generation is being started */
	INSTANCE_SERVING,       /* the current generation serves */
	INSTANCE_UPGRADING,     /* the current one serves; the next one is being started */
	INSTANCE_PROBATION,     /* the new current one serves and may still be rolled back */
	INSTANCE_FAILING,       /* the current one serves; a failed one is being killed */
	INSTANCE_FAILING_ALONE, /* nobody serves; a failed one is being killed */
	INSTANCE_VACATING,      /* --no-overlap: nobody serves; all generations have to end */
	INSTANCE_WAITING,       /* nobody serves; a restart is due */
	INSTANCE_CLOSING,       /* stop: what is queued is accepted, then the listeners close */
	INSTANCE_DRAINING,      /* stop: the connections run out */
	INSTANCE_STOPPING,      /* stop --now: every process has the stop signal */
	INSTANCE_STATES
};

struct upgrade_counts {
	unsigned completed, failed;
	bool any, last_completed;
	char last_reason[1024];
	uint32_t last_generation;
	nanoseconds last_duration;
};

struct instance {
	const char *name;
	bool background;          /* its starter waits until the first generation is ready */
	struct settings settings; /* what a restart starts; the defaults of the next upgrade */
	enum instance_state state;
	bool leaves_listeners; /* the service is started again: its queues live on (kept.h) */
	unsigned publications; /* how often listeners have come or gone: publish_addresses() */
	time_t since;    /* when the state's name in the status (instance_state_name()) changed */
	int exit_status; /* the launcher's, at the end */

	struct fdstore store;
	struct generation *newest; /* the list of all generations, linked by ->older */
	struct generation
	        *current;         /* the one that should accept, or NULL; instance_set_current() */
	nanoseconds vacant_since; /* nobody has been able to accept since then; 0: somebody is */
	struct attempt *attempt;  /* helper/lifecycle/attempt.h */
	uint32_t last_id;

	char channel_address[64]; /* for the shim: an abstract name, without its NUL */
	nanoseconds retire_at;    /* see helper/switch/moves.h */
	struct timer moves;
	nanoseconds moves_delay;
	struct timer crowd; /* see helper/switch/crowd.h */
	struct errand crowd_look;
	nanoseconds crowd_delay;
	unsigned crowd_rounds;

	/* Called when a count of a generation has ended: helper/state/survey.h */
	void (*surveyed)(struct generation *generation);

	enum inspect_verdict verdict; /* of the program as it was started */
	char verdict_reason[512];
	struct upgrade_counts upgrades;
};

static inline struct listener *instance_listener(struct instance *instance, uint32_t i)
{
	return &instance->store.listeners[i];
}

/* Does this listener outlive the launcher? helper/lifecycle/kept.h */
static inline bool instance_leaves(struct instance *instance, uint32_t i)
{
	const struct listener *listener = instance_listener(instance, i);
	return listener->activated || (instance->leaves_listeners && listener->kept);
}

/* The name in the status: "starting", "serving", "draining" or "stopping". */
const char *instance_state_name(enum instance_state state);

/* For helper/lifecycle/transitions.c alone. */
void instance_set_state(struct instance *instance, enum instance_state state);

/* Does the instance end? */
static inline bool instance_is_ending(const struct instance *instance)
{
	return instance->state >= INSTANCE_CLOSING;
}

/* Is a start under way?  Then another one is refused. */
static inline bool instance_is_busy(const struct instance *instance)
{
	return instance->state != INSTANCE_SERVING && instance->state != INSTANCE_WAITING &&
	       !instance_is_ending(instance);
}

/* Is a generation being started that is not ready yet? */
static inline bool instance_is_warming(const struct instance *instance)
{
	return instance->state == INSTANCE_STARTING || instance->state == INSTANCE_UPGRADING;
}

/* NULL: nobody should accept. */
void instance_set_current(struct instance *instance, struct generation *generation);

/* The generation whose gate for this listener is open; never more than one. */
struct generation *instance_acceptor(struct instance *instance, uint32_t listener);

/* Is the listener open though no generation, not even an ending one, holds it? */
bool instance_is_unheld(const struct instance *instance, uint32_t listener);

/* Prints the listeners that are true in `which`: "tcp:127.0.0.1:80, unix:/run/x and 3 more". */
void instance_print_listeners(
        struct instance *instance, const bool *which, char *text, size_t size);

/* Does the generation hold that listener?  The number may be any, also an invalid one. */
bool instance_is_holder(
        const struct instance *instance, const struct generation *generation, int listener);

/*
 * Takes the listener away from the generation.  True: no other generation holds the listener, and
 * it is still open.
 */
bool instance_drop(struct instance *instance, struct generation *generation, uint32_t listener);
