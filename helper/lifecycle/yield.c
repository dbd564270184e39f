/* SPDX-License-Identifier: MIT */
/* --no-overlap: the old generations make room for the next one. */
#include "helper/lifecycle/yield.h"

#include "helper/lifecycle/drain.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/* Queues first: from the moment in which nobody accepts, all that comes has to find room. */
void yield_begin(struct instance *instance, nanoseconds timeout)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_raise(instance_listener(instance, i));
	instance_set_state(instance, INSTANCE_STARTING);
	/* Those, too, with whom a listener has stayed: it is the next one's. */
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g == instance->current || moves_any_stays(instance, g))
			switch_off(instance, g);
	instance->current = NULL;
	for (struct generation *g = instance->newest; g; g = g->older)
		drain_yield(instance, g, timeout);
}

void yield_abandon(struct instance *instance)
{
	struct generation *able = NULL;
	for (struct generation *g = instance->newest; g; g = g->older) {
		g->yields = false;
		if (!able && g->state == GENERATION_DRAINING)
			able = g;
	}
	if (!able)
		return;
	drain_cancel(able);
	instance->current = able;
	switch_back(instance, NULL);
}

void yield_end(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_lower(instance_listener(instance, i));
}
