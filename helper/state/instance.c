/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance. */
#include "helper/state/instance.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *instance_state_name(enum instance_state state)
{
	switch (state) {
	case INSTANCE_STARTING:
	case INSTANCE_FAILING_ALONE:
	case INSTANCE_VACATING:
	case INSTANCE_WAITING: return "starting";
	case INSTANCE_SERVING:
	case INSTANCE_UPGRADING:
	case INSTANCE_PROBATION:
	case INSTANCE_FAILING: return "serving";
	case INSTANCE_CLOSING:
	case INSTANCE_DRAINING: return "draining";
	case INSTANCE_STOPPING:
	case INSTANCE_STATES: break;
	}
	return "stopping";
}

void instance_set_state(struct instance *instance, enum instance_state state)
{
	if (strcmp(instance_state_name(instance->state), instance_state_name(state)) != 0)
		instance->since = time(NULL);
	instance->state = state;
}

void instance_set_current(struct instance *instance, struct generation *generation)
{
	if (generation)
		instance->vacant_since = 0;
	else if (!instance->vacant_since)
		instance->vacant_since = now();
	instance->current = generation;
}

struct generation *instance_acceptor(struct instance *instance, uint32_t listener)
{
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g->holds[listener] && gate_get(g, listener) == MOULT_GATE_OPEN)
			return g;
	return NULL;
}

bool instance_is_unheld(const struct instance *instance, uint32_t listener)
{
	if (instance->store.listeners[listener].state == LISTENER_GONE)
		return false;
	for (const struct generation *g = instance->newest; g; g = g->older)
		if (g->holds[listener])
			return false;
	return true;
}

void instance_print_listeners(struct instance *instance, const bool *which, char *text, size_t size)
{
	size_t length = 0;
	unsigned more = 0;
	text[0] = '\0';
	for (uint32_t i = 0; i < instance->store.count; i++) {
		char name[LISTENER_TEXT];
		if (!which[i])
			continue;
		listener_print(instance_listener(instance, i), name, sizeof(name));
		if (length + strlen(name) + 32 > size) {
			more++;
			continue;
		}
		length += (size_t)snprintf(
		        text + length, size - length, "%s%s", length ? ", " : "", name);
	}
	if (more)
		snprintf(text + length, size - length, " and %u more", more);
}

bool instance_is_holder(
        const struct instance *instance, const struct generation *generation, int listener)
{
	return listener >= 0 && (uint32_t)listener < instance->store.count &&
	       generation->holds[listener];
}

bool instance_drop(struct instance *instance, struct generation *generation, uint32_t listener)
{
	bool alone = true;
	generation->holds[listener] = HOLDS_NOT;
	generation->held--;
	gate_set(generation, listener, MOULT_GATE_NONE);
	generation_tell(generation);
	for (struct generation *g = instance->newest; g; g = g->older)
		alone &= !g->holds[listener];
	return alone && instance_listener(instance, listener)->state != LISTENER_GONE;
}
