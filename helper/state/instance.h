/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance; every part of it works on this. */
#pragma once

#include "helper/base/loop.h"
#include "helper/check/inspect.h"
#include "helper/state/fdstore.h"
#include "helper/state/generation.h"

enum instance_state {
	INSTANCE_STARTING,
	INSTANCE_SERVING,
	INSTANCE_DRAINING, /* `moult stop`: finishing what it has */
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
	bool background; /* whoever started the launcher waits until the first generation is ready */
	struct settings settings; /* of the current generation; what an upgrade changes */
	enum instance_state state;
	time_t since; /* of the state */

	struct fdstore store;
	struct generation *newest;  /* all of them, through ->older */
	struct generation *current; /* the one that should be accepting; NULL: crashed */
	struct generation *next;    /* being started */
	uint32_t last_id;

	char channel_address[64]; /* for the shim: an abstract UNIX address, without its NUL */
	nanoseconds retire_at;    /* see helper/switch/moves.h */
	bool on_probation;        /* the current generation: an earlier one may be back soon */
	struct timer moves;
	nanoseconds moves_delay;
	struct timer crowd; /* see helper/switch/crowd.h */
	struct errand crowd_look;
	nanoseconds crowd_delay;
	unsigned crowd_rounds;

	void (*surveyed)(
	        struct generation *generation); /* a count of it has ended: helper/state/survey.h */

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

/* An open queue that is no generation's, living or ending. */
bool instance_is_unheld(const struct instance *instance, uint32_t listener);

/* "tcp:127.0.0.1:80, unix:/run/x and 3 more": those that are true in `which`. */
void instance_print_listeners(
        struct instance *instance, const bool *which, char *text, size_t size);

/* Has the generation taken that listener up? Any number will do. */
bool instance_is_holder(
        const struct instance *instance, const struct generation *generation, int listener);

/* It is none of the generation's listeners any more. True: nor of any other's, and still open. */
bool instance_drop(struct instance *instance, struct generation *generation, uint32_t listener);
