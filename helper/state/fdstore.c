/* SPDX-License-Identifier: MIT */
/* The fd store: a duplicate of every listening and bound datagram socket. */
#include "helper/state/fdstore.h"

#include <errno.h>

#include "helper/process/discard.h"
#include "shim/contract.h"

void fdstore_deinit(struct fdstore *store)
{
	for (uint32_t i = 0; i < store->count; i++)
		listener_deinit(&store->listeners[i]);
	for (size_t i = 0; i < store->pending_count; i++)
		fd_discard(&store->pending[i].directory);
	free(store->listeners);
	free(store->pending);
	*store = (struct fdstore){0};
}

static bool is_meant(
        const struct listener *listener, const struct identity *wanted, const struct look *look)
{
	if (listener->state == LISTENER_GONE || !identity_same_host(&listener->identity, wanted))
		return false;
	if (!identity_is_inet(wanted)) /* one that retires has already lost its path or name */
		return listener->state == LISTENER_LIVE &&
		       (!identity_is_path(wanted) ||
		               (look && listener_has_file(listener, look->file)));
	uint16_t port = identity_port(wanted);
	if (port)
		return port == identity_port(&listener->identity);
	/* Not a client's datagram socket, nor a port that only one client was told. */
	return listener->ephemeral && !listener->late && !identity_is_datagram(wanted);
}

int fdstore_find(const struct fdstore *store, const struct identity *wanted,
        const struct look *look, int after)
{
	for (uint32_t i = (uint32_t)(after + 1); i < store->count; i++)
		if (is_meant(&store->listeners[i], wanted, look))
			return (int)i;
	return -1;
}

int fdstore_find_equal(const struct fdstore *store, const struct identity *identity)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_LIVE &&
		        identity_equal(&store->listeners[i].identity, identity))
			return (int)i;
	return -1;
}

int fdstore_find_inode(const struct fdstore *store, uint64_t inode)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state != LISTENER_GONE &&
		        store->listeners[i].inode == inode)
			return (int)i;
	return -1;
}

int fdstore_find_file(const struct fdstore *store, struct file_id file)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_LIVE &&
		        listener_has_file(&store->listeners[i], file))
			return (int)i;
	return -1;
}

/*
 * Have all generations ended that had the listener?  Until then one of their processes may still
 * know a descriptor by that number.
 */
static bool is_forgotten(const struct listener *listener, uint32_t oldest)
{
	return listener->state == LISTENER_GONE && listener->last_holder < oldest;
}

int fdstore_number(struct fdstore *store, const struct identity *identity, uint32_t oldest)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_GONE &&
		        identity_equal(&store->listeners[i].identity, identity))
			return (int)i;
	for (uint32_t i = 0; i < store->count; i++)
		if (is_forgotten(&store->listeners[i], oldest))
			return (int)i;
	if (store->count == MOULT_LISTENERS)
		return -ENOSPC;
	void *larger = array_grow(
	        store->listeners, store->count, &store->allocated, sizeof(*store->listeners));
	if (!larger)
		return -ENOMEM;
	store->listeners = larger;
	return (int)store->count++;
}
