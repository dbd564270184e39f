/* SPDX-License-Identifier: MIT */
/* What becomes of a SO_REUSEPORT group. */
#include "helper/requests/group.h"

#include "helper/base/util.h"

enum holding group_holding(bool reuseport)
{
	return reuseport ? HOLDS_SHARED : HOLDS_ALONE;
}

bool group_wants_member(
        const struct generation *generation, uint32_t i, const struct request *request)
{
	return generation->holds[i] == HOLDS_SHARED && request->reuseport;
}

bool group_is_announced(const struct request *request, const struct identity *identity)
{
	return request->reuseport && identity_is_datagram(identity);
}

bool group_is_forming(
        struct fdstore *store, const struct request *request, const struct identity *identity)
{
	const struct pending *own = fdstore_expected(store, request->socket);
	for (size_t i = 0; i < store->pending_count; i++)
		if (&store->pending[i] != own && now() - store->pending[i].since < SECOND &&
		        identity_equal(&store->pending[i].identity, identity))
			return true;
	return false;
}

int group_find(const struct fdstore *store, const struct generation *generation,
        const struct request *request, const struct identity *identity)
{
	int i = identity_is_inet(identity) && request->reuseport
	                ? fdstore_find_equal(store, identity)
	                : -1;
	return i >= 0 && generation->holds[i] != HOLDS_ALONE &&
	                       store->listeners[i].inode != request->socket
	               ? i
	               : -1;
}
