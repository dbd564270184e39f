/* SPDX-License-Identifier: MIT */
/* Binding beside an overlapping address. */
#include "helper/requests/beside.h"

#include <errno.h>

#include "helper/requests/rights.h"
#include "helper/state/socket_options.h"

/*
 * Does the stored socket stand in the way of `wanted`, an overlapping address?  A listener that the
 * generation itself holds does not count: that conflict is the daemon's own.
 */
static bool must_stand_beside(struct instance *instance, const struct generation *generation,
        uint32_t i, const struct identity *wanted)
{
	const struct listener *listener = instance_listener(instance, i);
	return listener->state != LISTENER_GONE && identity_overlaps(&listener->identity, wanted) &&
	       !generation->holds[i];
}

/*
 * A TCP socket bound this way does not listen before the switch (listener->deferred): it would take
 * connections that the current generation must serve.  A datagram socket receives from its bind()
 * on.  So it is only allowed if its address is the wildcard: the kernel prefers the more specific
 * address, which is the stored one.
 */
struct answer beside_allow(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	struct fdstore *store = &instance->store;
	const struct identity wanted = request->identity;
	bool any = false, alone = generation_may_bind(generation) && identity_is_inet(&wanted);
	for (uint32_t i = 0; i < store->count && alone; i++) {
		const struct listener *listener = &store->listeners[i];
		bool overlaps = listener->state != LISTENER_GONE &&
		                identity_overlaps(&listener->identity, &wanted);
		if (overlaps && !right_to_take(generation, listener, i, request, NULL))
			alone = false;
		any |= overlaps;
		alone &= !overlaps ||
		         (must_stand_beside(instance, generation, i, &wanted) &&
		                 (!identity_is_datagram(&wanted) ||
		                         identity_covers(&wanted, &listener->identity)));
	}
	struct pending *pending =
	        alone && any ? fdstore_expect(store, request->socket, &wanted, -1, &request->asker)
	                     : NULL;
	if (!pending)
		return answer_with(-EADDRINUSE, -1, -1);
	pending->overlapping = true;
	pending->reuseport = request->reuseport;
	for (uint32_t i = 0; i < store->count; i++)
		if (must_stand_beside(instance, generation, i, &wanted))
			socket_set_reuseport(store->listeners[i].fd, true);
	return answer_with(0, -1, -1);
}

void beside_end(struct instance *instance, const struct generation *generation,
        const struct pending *pending, int fd)
{
	socket_set_reuseport(fd, pending->reuseport);
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (must_stand_beside(instance, generation, i, &pending->identity))
			socket_set_reuseport(instance_listener(instance, i)->fd,
			        instance_listener(instance, i)->shared);
}
