/* SPDX-License-Identifier: MIT */
/* What the launcher knows about its instance. */
#include "helper/instance.h"

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

static bool holds_one_of(struct instance *instance, const struct generation *generation,
        uint32_t first, uint32_t end)
{
	struct pid_set processes = {0};
	struct inode_set sockets = {0};
	size_t unreadable = 0, in_flight = 0;
	bool found = false;
	if (tree_list(generation->keeper, &processes) < 0 ||
	        audit_sockets(&processes, &sockets, &unreadable, &in_flight) < 0)
		unreadable = 1;
	for (uint32_t i = first; i < end && i < instance->store.count; i++)
		if (generation->holds[i])
			found |= inode_set_has(&sockets, instance->store.listeners[i].inode);
	/* Where we may not look, or a descriptor is on its way, assume that it is held. */
	found |= unreadable || in_flight;
	inode_set_deinit(&sockets);
	pid_set_deinit(&processes);
	return found;
}

bool instance_holds(
        struct instance *instance, const struct generation *generation, uint32_t listener)
{
	return holds_one_of(instance, generation, listener, listener + 1);
}

bool instance_holds_any(struct instance *instance, const struct generation *generation)
{
	return holds_one_of(instance, generation, 0, instance->store.count);
}
