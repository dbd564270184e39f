/* SPDX-License-Identifier: MIT */
/* --no-overlap: the old generations make room for the next one. */
#include "helper/lifecycle/yield.h"

#include "helper/lifecycle/drain.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/*
 * Does it accept clients of the service?  A socket made for one client does not count, nor does one
 * by which the daemon's own services reach each other.
 */
static bool accepts(struct instance *instance, const struct generation *generation)
{
	for (uint32_t i = 0; i < instance->store.count; i++) {
		const struct listener *listener = instance_listener(instance, i);
		if (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_OPEN &&
		        listener->state == LISTENER_LIVE &&
		        !(listener->late && listener->ephemeral) &&
		        (!generation->talks_to_itself || identity_is_inet(&listener->identity)))
			return true;
	}
	return false;
}

/* Queues grow before gates close: once nobody accepts, all new clients need room there. */
void yield_begin(struct instance *instance, nanoseconds timeout)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_raise(instance_listener(instance, i));
	instance_set_state(instance, INSTANCE_STARTING);
	/*
	 * Also the gates of older generations with which a listener has stayed.  moves_stays() does
	 * not say which: the time of the stay may just have passed, and the gate is still open.
	 */
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g == instance->current || accepts(instance, g))
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
