/* SPDX-License-Identifier: MIT */
/* The path of a UNIX socket is renamed, replaced or removed. */
#include "helper/requests/unix_path.h"

#include <errno.h>
#include <fcntl.h>

#include "helper/requests/handover.h"
#include "helper/requests/rights.h"
#include "helper/state/pending.h"

/*
 * The new place is believed only if its file is the listener's.  Without a socket in the request,
 * the renamed socket does not listen yet: it is the pending socket that is bound to this file.
 * Only its own generation may rename that one, and only its own user or root.
 */
struct answer unix_path_moved(
        struct instance *instance, struct generation *generation, struct request *request)
{
	struct fdstore *store = &instance->store;
	int i = request->listener, result = -ENOENT;
	struct look look;
	if (!generation_may_bind(generation) ||
	        (i >= 0 && !instance_is_holder(instance, generation, i)))
		return answer_with(-EPERM, -1, -1);
	if (i >= 0 && instance_listener(instance, (uint32_t)i)->inode != request->socket)
		return answer_with(-EBADF, -1, -1);
	if (paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) < 0)
		return answer_with(-EINVAL, -1, -1);
	struct pending *pending = i < 0 ? fdstore_pending_at(store, &look) : NULL;
	if (pending && (pending->asker.generation != generation->id ||
	                       (request->asker.uid && pending->asker.uid != request->asker.uid)))
		return answer_with(-EPERM, -1, -1);
	if (pending)
		result = pending_set_place(
		        pending, &request->asker, request->directory_fd, request->name, &look);
	else if (i >= 0 && look.mode && fdstore_find_file(store, look.file) == i)
		result = listener_set_place(instance_listener(instance, (uint32_t)i),
		        &request->asker, request->directory_fd, request->name, &look);
	if (result < 0)
		return answer_with(result, -1, -1);
	request->directory_fd = -1;
	return answer_with(0, i, -1);
}

/*
 * The path stays, and is removed together with the socket (->unlinked, helper/state/listener.h).
 * Of several links to the socket's file only the listener's own place is kept; the daemon removes
 * any other link itself (-ENOENT).  An older generation gets the same answer, but nothing is noted:
 * the path belongs to its successor.
 */
struct answer unix_path_unlinked(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	int i = request->listener;
	struct look look;
	if ((uint32_t)i >= instance->store.count)
		return answer_with(-EBADF, -1, -1);
	struct listener *listener = instance_listener(instance, (uint32_t)i);
	bool concerns = generation_may_bind(generation) ||
	                instance_is_holder(instance, generation, i) ||
	                listener->owner == generation->id;
	if (!concerns || !listener_has_name(listener, request->name) ||
	        paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) <
	                0 ||
	        !listener_is_at(listener, request->name, &look))
		return answer_with(-ENOENT, -1, -1);
	if (!look.replaceable)
		return answer_with(-EPERM, -1, -1);
	if (generation_may_bind(generation) || listener->owner == generation->id)
		listener->unlinked = generation->id;
	return answer_with(0, i, -1);
}

/*
 * The daemon has bound a new socket to another path and renames that over the live socket's path.
 * Instead the daemon gets the live socket in place of the new one, and the live path stays.  If the
 * new socket does not listen yet, the daemon gets the live one when it does (->replaces).
 */
struct answer unix_path_replace(
        struct instance *instance, struct generation *generation, struct request *request)
{
	struct fdstore *store = &instance->store;
	int to = request->listener;
	struct look look, over;
	if (!generation_may_bind(generation) || (uint32_t)to >= store->count ||
	        !listener_has_name(&store->listeners[to], request->other) ||
	        paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) <
	                0 ||
	        paths_look(&request->asker, request->other_fd, request->other, &over, NULL) < 0)
		return answer_with(-EINVAL, -1, -1);
	struct listener *kept = &store->listeners[to];
	if (!listener_is_at(kept, request->other, &over) || !over.replaceable ||
	        !look.replaceable || !right_to_take(generation, kept, (uint32_t)to, request, &over))
		return answer_with(-EPERM, -1, -1);
	int from = look.mode ? fdstore_find_file(store, look.file) : -1;
	if (from == to)
		return answer_with(-EINVAL, -1, -1);
	if (instance_is_holder(instance, generation, from)) {
		struct listener *listener = &store->listeners[from];
		bool nonblock = generation_nonblock(generation, (uint32_t)from);
		if (listener->identity.type != kept->identity.type ||
		        !right_to_take(generation, listener, (uint32_t)from, request, &look))
			return answer_with(-EPERM, -1, -1);
		kept->adopted |= !generation->holds[to];
		listener_set_template_consume(kept, fcntl(listener->fd, F_DUPFD_CLOEXEC, 3));
		if (instance_drop(instance, generation, (uint32_t)from))
			listener_close(listener);
		handover_take(
		        instance, generation, (uint32_t)to, nonblock, false, request->asker.uid);
		return (struct answer){{.listener = to, .backlog = from}, {kept->fd, -1}};
	}
	struct pending *pending = fdstore_pending_at(store, &look);
	if (!pending || pending->asker.generation != generation->id ||
	        pending->identity.type != kept->identity.type)
		return answer_with(-ENOENT, -1, -1);
	pending->replaces = to;
	return (struct answer){{.listener = to, .backlog = -1}, {-1, -1}};
}
