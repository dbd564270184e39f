/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance. */
#include "helper/state/instance.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void instance_set_state(struct instance *instance, enum instance_state state)
{
	if (instance->state != state)
		instance->since = time(NULL);
	instance->state = state;
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
