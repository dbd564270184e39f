/* SPDX-License-Identifier: MIT */
/* What the launcher writes to the boards of all generations. */
#include "helper/requests/publish.h"

static uint64_t name_hash(const struct identity *identity)
{
	size_t length;
	const char *name = identity_name(identity, &length);
	return moult_hash(MOULT_HASH_START, name, length);
}

static void publish(struct moult_gate *gate, const struct listener *listener)
{
	const struct identity *identity = &listener->identity;
	uint64_t device = 0, inode = 0;
	if (listener->state == LISTENER_LIVE && listener->directory >= 0) {
		device = listener->file.device;
		inode = listener->file.inode;
	} else if (listener->state == LISTENER_LIVE && identity_is_abstract(identity)) {
		device = MOULT_ABSTRACT;
		inode = name_hash(identity);
	}
	atomic_store(&gate->path_device, device);
	atomic_store(&gate->path_inode, inode);
	/* Also for a listener that has gone: the port may be bound again. */
	atomic_store(&gate->kind, (identity_is_datagram(identity) ? MOULT_DATAGRAM : MOULT_STREAM) |
	                                  (uint32_t)identity_port(identity) << MOULT_PORT_SHIFT);
}

void publish_addresses(struct instance *instance)
{
	instance->publications++;
	uint32_t count = instance->store.count, paths = 0;
	for (uint32_t i = 0; i < count; i++)
		paths += !identity_is_inet(&instance->store.listeners[i].identity);
	for (struct generation *g = instance->newest; g; g = g->older) {
		for (uint32_t i = 0; i < count; i++)
			publish(&g->board->gate[i], &instance->store.listeners[i]);
		atomic_store(&g->board->paths, paths);
		atomic_store(&g->board->listeners, count);
	}
}

void publish_newness(struct instance *instance, bool starting)
{
	uint32_t older = starting ? MOULT_NEWER_IS_STARTING : MOULT_HAS_NEWER;
	for (struct generation *g = instance->newest; g; g = g->older)
		atomic_store(&g->board->newness, g == instance->newest ? MOULT_IS_NEWEST : older);
}
