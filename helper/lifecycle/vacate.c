/* SPDX-License-Identifier: MIT */
/* --no-overlap: the old generations make room for the next one. */
#include "helper/lifecycle/vacate.h"

#include "helper/lifecycle/drain.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/* Is a gate open by which clients of the service come in? */
static bool accepts_clients(struct instance *instance, const struct generation *generation)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_OPEN &&
		        moves_is_for_clients(instance, generation, i))
			return true;
	return false;
}

/* Queues grow before gates close: once nobody accepts, all new clients need room there. */
void vacate_begin(struct instance *instance, nanoseconds timeout)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_raise(instance_listener(instance, i));
	/*
	 * Also the gates of older generations with which a listener has stayed.  moves_stays() does
	 * not say which: the time of the stay may just have passed, and the gate is still open.
	 */
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g == instance->current || accepts_clients(instance, g))
			switch_off(instance, g);
	instance_set_current(instance, NULL);
	for (struct generation *g = instance->newest; g; g = g->older)
		drain_vacate(instance, g, timeout);
}

void vacate_end(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_lower(instance_listener(instance, i));
}
