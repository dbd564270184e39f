/* SPDX-License-Identifier: MIT */
/* Which stored socket a bind() gets. */
#include "helper/requests/bind.h"

#include "helper/base/log.h"
#include "helper/requests/closing.h"
#include "helper/requests/group.h"
#include "helper/requests/handover.h"
#include "helper/requests/rights.h"
#include "helper/state/pending.h"
#include "helper/state/survey.h"

/*
 * The address that the request's bind() was called with; for a path also what the path leads to
 * now.
 */
static int requested_identity(
        const struct request *request, struct identity *ret_identity, struct look *ret_look)
{
	struct look look = {0};
	struct identity identity = request->identity;
	if (identity_is_path(&identity)) {
		int result = paths_look(
		        &request->asker, request->directory_fd, request->name, &look, NULL);
		if (result == 0)
			result = identity_set_directory(
			        &identity, look.directory.device, look.directory.inode);
		if (result < 0)
			return result;
	}
	*ret_identity = identity;
	*ret_look = look;
	return 0;
}

/*
 * Does the generation get the stored socket now?  It does if it does not hold the listener yet.  It
 * gets the socket again
 *   - for one more member of a SO_REUSEPORT group (helper/requests/group.h);
 *   - when it has removed the path, and so made room for another socket there;
 *   - when none of its processes has the socket open any more;
 *   - when it has inherited the socket, once (HOLDS_PASSED).
 */
static bool is_due(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request)
{
	const struct listener *listener = instance_listener(instance, i);
	if (!generation->holds[i] || generation->holds[i] == HOLDS_PASSED)
		return true;
	if (listener->ephemeral) /* another bind() to port 0 asks for another port */
		return false;
	/*
	 * Some servers have a UDP socket for each client, which they bind to this address and then
	 * connect.  survey_holds() looks at all descriptors of the generation: too slow for each of
	 * these sockets.
	 */
	if (identity_is_datagram(&listener->identity) && identity_is_inet(&listener->identity) &&
	        generation->holds[i] == HOLDS_ALONE && request->reuseaddr &&
	        !closing_is_pending(generation, i))
		return false;
	return group_wants_member(generation, i, request) ||
	       (listener->directory >= 0 && listener->unlinked == generation->id) ||
	       !survey_holds(generation, i);
}

/*
 * An old generation binds its address again, as some daemons do after each client.  It gets the
 * socket that it holds already, and its gate stays closed.  If bind() failed, the daemon would
 * exit, and its connections would be cut.  The options of its fresh socket are ignored.
 */
static struct answer adopt_again(struct instance *instance, struct generation *generation,
        uint32_t i, const struct request *request)
{
	struct listener *listener = instance_listener(instance, i);
	uint32_t state = gate_get(generation, i);
	if (listener->unlinked == generation->id)
		listener->unlinked = 0;
	closing_cancel(generation, (int)i);
	/*
	 * A gate that is still open stays open: no other generation has taken this listener over.
	 */
	if (state != MOULT_GATE_OPEN)
		generation_take(generation, i, group_holding(request->reuseport), listener->inode,
		        request->nonblock, MOULT_GATE_DRAINING);
	return answer_with(0, (int)i, listener->fd);
}

static void say_not_handed(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request)
{
	char name[LISTENER_TEXT];
	const struct listener *listener = instance_listener(instance, i);
	if (generation->told_right)
		return;
	generation->told_right = true;
	listener_print(listener, name, sizeof(name));
	log_error("generation %u: %s is not handed to process %d of user %u, because user %u has "
	          "bound it",
	        generation->id, name, request->asker.pid, request->asker.uid, listener->taken_by);
}

/*
 * Can the store have anything for this request?  An old generation gets only what it holds.  The
 * answer costs nothing: paths_look(), which comes next, may wait for a file system.
 */
static bool may_ask_for(const struct fdstore *store, const struct generation *generation,
        const struct request *request)
{
	if (generation_may_bind(generation) || !identity_is_path(&request->identity))
		return true;
	for (uint32_t i = 0; i < store->count; i++)
		if (generation->holds[i] && listener_has_name(&store->listeners[i], request->name))
			return true;
	return false;
}

struct answer bind_choose_socket(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received)
{
	struct fdstore *store = &instance->store;
	struct identity wanted;
	struct look look;
	int i = -1;
	if (received->socket < 0 || !may_ask_for(store, generation, request) ||
	        requested_identity(request, &wanted, &look) < 0)
		return answer_with(0, -1, -1);
	while ((i = fdstore_find(store, &wanted, &look, i)) >= 0)
		if (is_due(instance, generation, (uint32_t)i, request))
			break;
	if (i >= 0 &&
	        !right_to_take(generation, &store->listeners[i], (uint32_t)i, request, &look)) {
		say_not_handed(instance, generation, (uint32_t)i, request);
		return answer_with(0, -1, -1);
	}
	if (!generation_may_bind(generation))
		return i >= 0 && generation->holds[i]
		               ? adopt_again(instance, generation, (uint32_t)i, request)
		               : answer_with(0, -1, -1);
	if (i >= 0)
		return handover_adopt(instance, generation, (uint32_t)i, request, received);
	bool group = group_is_announced(request, &wanted);
	if (group && group_is_forming(store, request, &wanted))
		return answer_with(MOULT_ASK_AGAIN, -1, -1);
	bool ephemeral = identity_is_inet(&wanted) && !identity_port(&wanted);
	if (ephemeral || group || identity_is_path(&wanted)) {
		if (!fd_is_plenty()) /* a pending socket keeps a directory open */
			return answer_with(0, -1, -1);
		struct pending *pending = fdstore_expect(
		        store, request->socket, &wanted, request->directory_fd, &request->asker);
		request->directory_fd = -1;
		if (pending)
			pending->ephemeral = ephemeral;
	}
	return answer_with(0, -1, -1);
}
