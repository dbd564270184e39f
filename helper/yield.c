/* SPDX-License-Identifier: MIT */
/* --no-overlap: the old generations make room for the next one. */
#include "helper/yield.h"

#include "helper/drain.h"
#include "helper/switch.h"

/* Queues first: from the moment in which nobody accepts, all that comes has to find room. */
void yield_begin(struct instance *instance, nanoseconds timeout)
{
	struct generation *current = instance->current;
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_raise(instance_listener(instance, i));
	instance_set_state(instance, INSTANCE_STARTING);
	instance->current = NULL;
	if (current)
		switch_off(instance, current);
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
	switch_to(instance, able);
}

void yield_end(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_lower(instance_listener(instance, i));
}
