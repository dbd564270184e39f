/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance.  Every part of the launcher works on this struct. */
#pragma once

#include "helper/base/loop.h"
#include "helper/check/inspect.h"
#include "helper/state/fdstore.h"
#include "helper/state/generation.h"

enum instance_state {
	INSTANCE_STARTING,
	INSTANCE_SERVING,
	INSTANCE_DRAINING, /* `moult stop`: finishes its connections */
	INSTANCE_STOPPING,
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
	struct settings settings; /* of the current generation; an upgrade changes them */
	enum instance_state state;
	time_t since; /* when `state` was entered */

	struct fdstore store;
	struct generation *newest;  /* the list of all generations, linked by ->older */
	struct generation *current; /* the one that should accept; NULL: none, it has crashed */
	struct generation *next;    /* the one that is being started; NULL: none */
	uint32_t last_id;

	char channel_address[64]; /* for the shim: an abstract name, without its NUL */
	nanoseconds retire_at;    /* see helper/switch/moves.h */
	bool on_probation;        /* the current generation may still be rolled back */
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

void instance_set_state(struct instance *instance, enum instance_state state);

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
