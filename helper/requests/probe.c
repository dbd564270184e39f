/* SPDX-License-Identifier: MIT */
/* A daemon connects to its own port before it binds the port. */
#include "helper/requests/probe.h"

#include <errno.h>

#include "helper/requests/rights.h"

struct answer probe_finds_earlier(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	const struct fdstore *store = &instance->store;
	const struct identity wanted = request->identity;
	bool found = false;
	if (!generation_may_bind(generation))
		return answer_with(-ENOENT, -1, -1);
	for (uint32_t i = 0; i < store->count && !found; i++)
		found = store->listeners[i].state != LISTENER_GONE && !generation->holds[i] &&
		        identity_is_found_at(&store->listeners[i].identity, &wanted);
	return answer_with(found ? 0 : -ENOENT, -1, -1);
}
