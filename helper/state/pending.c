/* SPDX-License-Identifier: MIT */
/* Sockets between bind() and listen(). */
#include "helper/state/pending.h"

#include <string.h>
#include <sys/un.h>

#include "helper/base/util.h"
#include "helper/process/discard.h"
#include "helper/state/place.h"

static void pending_remove(struct fdstore *store, size_t i)
{
	fd_discard(&store->pending[i].directory);
	memmove(&store->pending[i], &store->pending[i + 1],
	        (--store->pending_count - i) * sizeof(*store->pending));
}

struct pending *fdstore_expected(struct fdstore *store, uint64_t socket)
{
	for (size_t i = 0; i < store->pending_count; i++)
		if (store->pending[i].inode == socket)
			return &store->pending[i];
	return NULL;
}

/*
 * Makes room for one more pending socket of that generation.  Returns the time of the generation's
 * first pending request for the same address; now if there is none.
 */
static nanoseconds make_room(
        struct fdstore *store, uint32_t generation, const struct identity *identity)
{
	size_t count = 0, oldest = 0;
	nanoseconds since = now();
	for (size_t i = store->pending_count; i-- > 0;) {
		const struct pending *pending = &store->pending[i];
		if (pending->asker.generation != generation)
			continue;
		count++;
		oldest = i;
		if (identity_equal(&pending->identity, identity) && pending->since < since)
			since = pending->since;
	}
	if (count >= PENDING_OF_ONE)
		pending_remove(store, oldest);
	return since;
}

struct pending *fdstore_expect(struct fdstore *store, uint64_t socket,
        const struct identity *identity, int directory, const struct asker *asker)
{
	nanoseconds since = make_room(store, asker->generation, identity);
	struct pending *pending = fdstore_expected(store, socket);
	if (pending)
		pending_remove(store, (size_t)(pending - store->pending));
	void *larger = array_grow(store->pending, store->pending_count, &store->pending_allocated,
	        sizeof(*store->pending));
	if (!larger) {
		fd_close(&directory);
		return NULL;
	}
	store->pending = larger;
	pending = &store->pending[store->pending_count++];
	*pending = (struct pending){.inode = socket,
	        .since = since,
	        .identity = *identity,
	        .directory = directory,
	        .asker = *asker,
	        .replaces = -1};
	return pending;
}

struct pending *fdstore_pending_at(struct fdstore *store, const struct look *look)
{
	for (size_t i = 0; i < store->pending_count; i++)
		if (store->pending[i].directory >= 0 &&
		        place_is_bound_to(store->pending[i].inode, &store->pending[i].asker,
		                store->pending[i].directory, look))
			return &store->pending[i];
	return NULL;
}

int pending_set_place(struct pending *pending, const struct asker *asker, int directory,
        const char *name, const struct look *look)
{
	int result = place_set(&pending->identity, name, look);
	if (result < 0)
		return result;
	fd_close(&pending->directory);
	pending->directory = directory;
	pending->asker = *asker;
	return 0;
}

void fdstore_expect_no_more(struct fdstore *store, uint32_t generation)
{
	for (size_t i = store->pending_count; i-- > 0;)
		if (store->pending[i].asker.generation == generation)
			pending_remove(store, i);
}

/* Gives the listener its announced path, if the kernel says that the socket is bound there. */
static void settle(struct listener *listener, struct pending *pending)
{
	char name[sizeof(struct sockaddr_un)];
	struct look look;
	if (pending->directory >= 0 &&
	        paths_look(&pending->asker, pending->directory,
	                identity_text(&pending->identity, name), &look, &listener->pinned) == 0 &&
	        place_is_bound_to(listener->inode, &pending->asker, pending->directory, &look) &&
	        listener_set_place(listener, &pending->asker, pending->directory, name, &look) == 0)
		pending->directory = -1;
	else
		fd_close(&listener->pinned);
}

int fdstore_add_consume(struct fdstore *store, int fd, uint32_t oldest)
{
	struct listener listener = {.state = LISTENER_LIVE,
	        .fd = fd,
	        .template = -1,
	        .former = -1,
	        .directory = -1,
	        .pinned = -1};
	struct pending *pending = fdstore_expected(store, socket_inode(fd));
	int result = identity_of_bound(fd, &listener.identity);
	listener.inode = socket_inode(fd);
	if (result == 0 && pending) {
		listener.ephemeral = pending->ephemeral;
		settle(&listener, pending);
		pending_remove(store, (size_t)(pending - store->pending));
	}
	if (result == 0)
		result = fdstore_number(store, &listener.identity, oldest);
	if (result < 0) {
		listener_deinit(&listener);
		return result;
	}
	store->listeners[result] = listener;
	return result;
}
