/* SPDX-License-Identifier: MIT */
/* Which socket a generation gets when it binds or listens. */
#include "helper/requests/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/base/log.h"
#include "helper/requests/closing.h"
#include "helper/requests/publish.h"
#include "helper/requests/rights.h"
#include "helper/state/pending.h"
#include "helper/state/socket_options.h"
#include "helper/state/survey.h"
#include "helper/switch/crowd.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

static struct answer say(int error, int listener, int fd)
{
	return (struct answer){{.error = error, .listener = listener}, {fd, -1}};
}

static bool is_held(
        const struct instance *instance, const struct generation *generation, int listener)
{
	return instance_is_holder(instance, generation, listener);
}

/* ---- bind and listen ---- */

static void take(struct instance *instance, struct generation *generation, uint32_t i,
        bool nonblock, bool shared, uid_t uid)
{
	struct listener *listener = instance_listener(instance, i);
	uint32_t word = switch_first_word(instance, generation, i);
	if (instance->state < INSTANCE_DRAINING) /* else it is for the queue, and for nobody new */
		listener_admit(listener);
	if (listener->unlinked == generation->id) /* what it removed it has made again */
		listener->unlinked = 0;
	closing_cancel(generation, (int)i);
	if ((word & MOULT_GATE_STATE) == MOULT_GATE_OPEN) {
		listener_prepare(listener, nonblock);
		listener->owner = generation->id;
	}
	publish_addresses(instance);
	generation->taken_by[i] = listener->taken_by = uid;
	if (listener->last_holder < generation->id)
		listener->last_holder = generation->id;
	generation_take(generation, i, shared ? HOLDS_SHARED : HOLDS_ALONE, listener->inode,
	        nonblock, word);
	if (word & MOULT_GATE_CROWDED)
		crowd_begin(instance);
	if (word == MOULT_GATE_WARMING && generation->state == GENERATION_CURRENT)
		moves_expect(instance);
}

/* Nobody can take it off (SO_LOCK_FILTER): the socket keeps it until the last process closes it. */
static void say_spoiled(const struct listener *listener)
{
	char name[LISTENER_TEXT];
	listener_print(listener, name, sizeof(name));
	log_error("%s: a process of an earlier generation has locked a packet filter on it, which "
	          "may keep clients away until moult itself is stopped and started",
	        name);
}

/* The store's socket is to take the place of the one received, which becomes its template. */
static struct answer adopt(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request, struct received *received)
{
	struct listener *listener = instance_listener(instance, i);
	if (socket_has_locked_filter(listener->fd) && !socket_has_locked_filter(received->socket))
		say_spoiled(listener);
	listener->adopted |= !generation->holds[i];
	listener_set_template_consume(listener, received->socket);
	received->socket = -1;
	take(instance, generation, i, request->nonblock, request->reuseport, request->asker.uid);
	return say(0, (int)i, listener->fd);
}

static bool may_bind(const struct generation *generation)
{
	return generation->state == GENERATION_NEXT || generation->state == GENERATION_CURRENT;
}

/* What the request's bind() was called with; for a path also what is there now. */
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
 * Once per generation; and again when no process of it has it any more, when the daemon has made
 * room for another socket at the path, or for one more member of a SO_REUSEPORT group: all of them
 * share one queue, so that nobody's end, and no change of their number, can reset a part of it.
 */
static bool wants_member(
        const struct generation *generation, uint32_t i, const struct request *request)
{
	return generation->holds[i] == HOLDS_SHARED && request->reuseport;
}

static bool is_due(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request)
{
	const struct listener *listener = instance_listener(instance, i);
	if (!generation->holds[i])
		return true;
	if (listener->ephemeral) /* the kernel would choose another port */
		return false;
	/* Servers with a UDP socket for each client bind it to this address, and then connect it:
	 * a look at all descriptors for each would be dear. */
	if (identity_is_datagram(&listener->identity) && identity_is_inet(&listener->identity) &&
	        generation->holds[i] == HOLDS_ALONE && request->reuseaddr &&
	        !closing_is_pending(generation, i))
		return false;
	return wants_member(generation, i, request) ||
	       (listener->directory >= 0 && listener->unlinked == generation->id) ||
	       !survey_holds(generation, i);
}

/* Another process of the group binds its socket just now, and will be the first of it. */
static bool is_being_bound(
        struct fdstore *store, const struct request *request, const struct identity *identity)
{
	const struct pending *own = fdstore_expected(store, request->socket);
	for (size_t i = 0; i < store->pending_count; i++)
		if (&store->pending[i] != own && now() - store->pending[i].since < SECOND &&
		        identity_equal(&store->pending[i].identity, identity))
			return true;
	return false;
}

/*
 * An old generation that binds its address again, as some do after each client, gets the socket that
 * it has had already, and may not accept.  Without the socket it would end, with the connections that
 * it still has.  Nobody wants the options that it has set.
 */
static struct answer adopt_again(struct instance *instance, struct generation *generation,
        uint32_t i, const struct request *request)
{
	struct listener *listener = instance_listener(instance, i);
	uint32_t state = gate_get(generation, i);
	if (listener->unlinked == generation->id)
		listener->unlinked = 0;
	closing_cancel(generation, (int)i);
	if (state != MOULT_GATE_OPEN) /* one that only it has may stay open till the end */
		generation_take(generation, i, request->reuseport ? HOLDS_SHARED : HOLDS_ALONE,
		        listener->inode, request->nonblock, MOULT_GATE_DRAINING);
	return say(0, (int)i, listener->fd);
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
	log_error("generation %u: process %d of user %u may not take %s, which user %u has bound",
	        generation->id, request->asker.pid, request->asker.uid, name, listener->taken_by);
}

/* Could it be given anything at all? An old generation only gets what it has had there already. */
static bool may_ask_for(const struct fdstore *store, const struct generation *generation,
        const struct request *request)
{
	if (may_bind(generation) || !identity_is_path(&request->identity))
		return true;
	for (uint32_t i = 0; i < store->count; i++)
		if (generation->holds[i] && listener_has_name(&store->listeners[i], request->name))
			return true;
	return false;
}

struct answer handover_bind(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received)
{
	struct fdstore *store = &instance->store;
	struct identity wanted;
	struct look look;
	int i = -1;
	if (received->socket < 0 || !may_ask_for(store, generation, request) ||
	        requested_identity(request, &wanted, &look) < 0)
		return say(0, -1, -1);
	while ((i = fdstore_find(store, &wanted, &look, i)) >= 0)
		if (is_due(instance, generation, (uint32_t)i, request))
			break;
	if (i >= 0 &&
	        !right_to_take(generation, &store->listeners[i], (uint32_t)i, request, &look)) {
		say_not_handed(instance, generation, (uint32_t)i, request);
		return say(0, -1, -1);
	}
	if (!may_bind(generation))
		return i >= 0 && generation->holds[i]
		               ? adopt_again(instance, generation, (uint32_t)i, request)
		               : say(0, -1, -1);
	if (i >= 0)
		return adopt(instance, generation, (uint32_t)i, request, received);
	bool group = request->reuseport && identity_is_datagram(&wanted);
	if (group && is_being_bound(store, request, &wanted))
		return say(MOULT_ASK_AGAIN, -1, -1);
	bool ephemeral = identity_is_inet(&wanted) && !identity_port(&wanted);
	if (ephemeral || group || identity_is_path(&wanted)) {
		if (!fd_is_plenty()) /* each keeps its directory */
			return say(0, -1, -1);
		struct pending *pending = fdstore_expect(
		        store, request->socket, &wanted, request->directory_fd, &request->asker);
		request->directory_fd = -1;
		if (pending)
			pending->ephemeral = ephemeral;
	}
	return say(0, -1, -1);
}

/*
 * A daemon that connects to its own port, before it binds it, wants to know whether another instance
 * runs, and would not start beside it.
 */
struct answer handover_calling(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	const struct fdstore *store = &instance->store;
	const struct identity wanted = request->identity;
	bool found = false;
	if (!may_bind(generation))
		return say(-ENOENT, -1, -1);
	for (uint32_t i = 0; i < store->count && !found; i++)
		found = store->listeners[i].state != LISTENER_GONE && !generation->holds[i] &&
		        identity_is_found_at(&store->listeners[i].identity, &wanted);
	return say(found ? 0 : -ENOENT, -1, -1);
}

/* What the new socket cannot be bound beside, though it is another address. */
static bool must_stand_beside(struct instance *instance, const struct generation *generation,
        uint32_t i, const struct identity *wanted)
{
	const struct listener *listener = instance_listener(instance, i);
	return listener->state != LISTENER_GONE && identity_overlaps(&listener->identity, wanted) &&
	       !generation->holds[i];
}

/*
 * The address has changed from one host to all, from IPv4 to both families, or back: the kernel lets
 * the two be bound beside each other only if both say SO_REUSEPORT.  A TCP socket does not listen
 * before the switch: it might take what the current generation is to serve.  A datagram socket takes
 * from its bind() on, so it may only be the less specific of the two.
 */
struct answer handover_bind_beside(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	struct fdstore *store = &instance->store;
	const struct identity wanted = request->identity;
	bool any = false, alone = may_bind(generation) && identity_is_inet(&wanted);
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
		return say(-EADDRINUSE, -1, -1);
	pending->overlapping = true;
	pending->reuseport = request->reuseport;
	for (uint32_t i = 0; i < store->count; i++)
		if (must_stand_beside(instance, generation, i, &wanted))
			socket_set_reuseport(store->listeners[i].fd, true);
	return say(0, -1, -1);
}

/* It is bound: a genuine conflict is to be one again. */
static void end_of_standing_beside(struct instance *instance, const struct generation *generation,
        const struct pending *pending, int fd)
{
	socket_set_reuseport(fd, pending->reuseport);
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (must_stand_beside(instance, generation, i, &pending->identity))
			socket_set_reuseport(instance_listener(instance, i)->fd,
			        instance_listener(instance, i)->shared);
}

static int find_of_group(const struct fdstore *store, const struct generation *generation,
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

/* The one in the store that a new socket is to be replaced by, or -1. */
static int find_standing_for(const struct fdstore *store, const struct generation *generation,
        const struct request *request, const struct identity *identity,
        const struct pending *pending)
{
	if (pending && pending->replaces >= 0)
		return store->listeners[pending->replaces].state == LISTENER_LIVE
		               ? pending->replaces
		               : -1;
	return find_of_group(store, generation, request, identity);
}

static void say_unsupported(struct generation *generation, int family)
{
	if (generation->told_unsupported)
		return;
	generation->told_unsupported = true;
	log_error("generation %u: listens on a socket of address family %d%s, which moult cannot "
	          "hand over: the next generation will have to bind it beside this one",
	        generation->id, family, family == AF_VSOCK ? " (vsock)" : "");
}

/* While another generation uses the queue its limit only grows; as the kernel has it, unsigned. */
static int backlog_of(
        struct instance *instance, const struct generation *generation, uint32_t i, int wanted)
{
	const struct listener *listener = instance_listener(instance, i);
	bool shared = false;
	for (struct generation *g = instance->newest; g; g = g->older)
		shared |= g != generation && g->holds[i];
	return shared && (unsigned)wanted < (unsigned)listener->backlog ? listener->backlog
	                                                                : wanted;
}

/*
 * Processes that have inherited one bound socket may all call listen(), and those that do before one
 * of them has been answered do not know that it is a listener by now.
 */
static int find_same(
        const struct fdstore *store, const struct generation *generation, uint64_t inode)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state != LISTENER_GONE && generation->holds[i] &&
		        store->listeners[i].inode == inode)
			return (int)i;
	return -1;
}

static struct answer add_again(
        struct instance *instance, struct generation *generation, uint32_t i, int fd, int backlog)
{
	struct listener *listener = instance_listener(instance, i);
	listener->backlog = backlog_of(instance, generation, i, backlog);
	if (identity_is_inet(&listener->identity) && !identity_is_datagram(&listener->identity) &&
	        !listener->deferred &&
	        listen(fd, listener->raised ? LISTENER_MOST : listener->backlog) < 0)
		return say(-errno, -1, -1);
	return say(0, (int)i, -1);
}

static uint32_t oldest_generation(const struct instance *instance)
{
	const struct generation *generation = instance->newest;
	while (generation->older)
		generation = generation->older;
	return generation->id;
}

/* A generation has room for a number of listeners that leaves the next one enough. */
static bool is_over_quota(struct generation *generation)
{
	if (generation->added < MOULT_LISTENERS / 2 && fd_is_plenty())
		return false;
	if (!generation->told_quota)
		log_error("generation %u: has more listening sockets than can be kept, or the "
		          "launcher no descriptors for them; those that it opens now are not "
		          "handed over",
		        generation->id);
	generation->told_quota = true;
	return true;
}

/* TCP: we make it listen.  UNIX: the daemon has, for SO_PEERCRED names who called listen(). */
struct answer handover_listen(struct instance *instance, struct generation *generation,
        const struct request *request, struct received *received)
{
	struct fdstore *store = &instance->store;
	struct identity identity = request->identity;
	if (!may_bind(generation))
		return say(-EPERM, -1, -1);
	if (!request->is_known) {
		say_unsupported(generation, request->family);
		return say(-EAFNOSUPPORT, -1, -1);
	}
	if (received->socket < 0)
		return say(-EPERM, -1, -1);
	int fd = received->socket;
	int i = find_same(store, generation, request->socket);
	if (i >= 0)
		return add_again(instance, generation, (uint32_t)i, fd, request->backlog);
	struct pending *pending = fdstore_expected(store, request->socket);
	i = find_standing_for(store, generation, request, &identity, pending);
	if (i >= 0 && right_to_take(generation, &store->listeners[i], (uint32_t)i, request, NULL))
		return adopt(instance, generation, (uint32_t)i, request, received);
	bool deferred = pending && pending->overlapping && !identity_is_datagram(&identity) &&
	                generation->state == GENERATION_NEXT &&
	                (instance->current || generation->awaits_turn);
	if (identity_is_inet(&identity) && !identity_is_datagram(&identity) && !deferred &&
	        listen(fd, request->backlog) < 0) {
		int error = errno;
		if (error != EADDRINUSE) /* which the daemon itself will hear and say */
			log_error("generation %u: a listening socket cannot be kept: %s",
			        generation->id, strerror(error));
		return say(-error, -1, -1);
	}
	/* listen() looks for conflicts as bind() does. */
	bool shared = pending && pending->overlapping ? pending->reuseport : request->reuseport;
	if (pending && pending->overlapping && !deferred)
		end_of_standing_beside(instance, generation, pending, fd);
	if (is_over_quota(generation))
		return say(0, -1, -1);
	i = fdstore_add_consume(store, fd, oldest_generation(instance));
	received->socket = -1;
	if (i < 0) { /* it has been done, but will not be handed over */
		log_error("generation %u: a listening socket cannot be kept: %s", generation->id,
		        strerror(-i));
		return say(0, -1, -1);
	}
	struct listener *listener = &store->listeners[i];
	generation->added++;
	listener->backlog = request->backlog;
	listener->born = generation->id;
	listener->late = generation->state == GENERATION_CURRENT;
	listener->deferred = deferred;
	listener->shared = shared;
	take(instance, generation, (uint32_t)i, request->nonblock, shared, request->asker.uid);
	return say(0, i, -1);
}

struct answer handover_listen_again(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	uint32_t i = (uint32_t)request->listener;
	if (!may_bind(generation)) { /* the queue is its successor's */
		if (gate_get(generation, i) == MOULT_GATE_SHUT) {
			gate_set(generation, i, MOULT_GATE_DRAINING);
			generation_tell(generation);
		}
		return say(0, -1, -1);
	}
	struct listener *listener = instance_listener(instance, i);
	listener->backlog = backlog_of(instance, generation, i, request->backlog);
	if (gate_get(generation, i) == MOULT_GATE_SHUT)
		take(instance, generation, i, generation_nonblock(generation, i),
		        generation->holds[i] == HOLDS_SHARED, generation->taken_by[i]);
	return (struct answer){
	        {.listener = listener->deferred ? -1 : (int)i,
	                .backlog = listener->raised ? LISTENER_MOST : listener->backlog},
	        {-1, -1}};
}

/* ---- paths ---- */

/*
 * Only a place that names what the listener has been since: the daemon's word alone is not enough.
 * Where no socket came along it is one that does not listen yet, of the same user.
 */
struct answer handover_moved(
        struct instance *instance, struct generation *generation, struct request *request)
{
	struct fdstore *store = &instance->store;
	int i = request->listener, result = -ENOENT;
	struct look look;
	if (!may_bind(generation) || (i >= 0 && !is_held(instance, generation, i)))
		return say(-EPERM, -1, -1);
	if (i >= 0 && instance_listener(instance, (uint32_t)i)->inode != request->socket)
		return say(-EBADF, -1, -1);
	if (paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) < 0)
		return say(-EINVAL, -1, -1);
	struct pending *pending = i < 0 ? fdstore_pending_at(store, &look) : NULL;
	if (pending && (pending->asker.generation != generation->id ||
	                       (request->asker.uid && pending->asker.uid != request->asker.uid)))
		return say(-EPERM, -1, -1);
	if (pending)
		result = pending_set_place(
		        pending, &request->asker, request->directory_fd, request->name, &look);
	else if (i >= 0 && look.mode && fdstore_find_file(store, look.file) == i)
		result = listener_set_place(instance_listener(instance, (uint32_t)i),
		        &request->asker, request->directory_fd, request->name, &look);
	if (result < 0)
		return say(result, -1, -1);
	request->directory_fd = -1;
	return say(0, i, -1);
}

/*
 * Of several links to the live socket only the one that it is known by.  An older generation that ends
 * is told the same as the others, and the path stays: it is its successor's.
 */
struct answer handover_unlinked(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	int i = request->listener;
	struct look look;
	if ((uint32_t)i >= instance->store.count)
		return say(-EBADF, -1, -1);
	struct listener *listener = instance_listener(instance, (uint32_t)i);
	bool concerns = may_bind(generation) || is_held(instance, generation, i) ||
	                listener->owner == generation->id;
	if (!concerns || !listener_has_name(listener, request->name) ||
	        paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) <
	                0 ||
	        !listener_is_at(listener, request->name, &look))
		return say(-ENOENT, -1, -1);
	if (!look.replaceable)
		return say(-EPERM, -1, -1);
	if (may_bind(generation) || listener->owner == generation->id)
		listener->unlinked = generation->id;
	return say(0, i, -1);
}

/*
 * A socket made beside the live one and renamed over its path: the live one takes its place in the
 * daemon instead, and keeps its path.
 */
struct answer handover_replace(
        struct instance *instance, struct generation *generation, struct request *request)
{
	struct fdstore *store = &instance->store;
	int to = request->listener;
	struct look look, over;
	if (!may_bind(generation) || (uint32_t)to >= store->count ||
	        !listener_has_name(&store->listeners[to], request->other) ||
	        paths_look(&request->asker, request->directory_fd, request->name, &look, NULL) <
	                0 ||
	        paths_look(&request->asker, request->other_fd, request->other, &over, NULL) < 0)
		return say(-EINVAL, -1, -1);
	struct listener *kept = &store->listeners[to];
	if (!listener_is_at(kept, request->other, &over) || !over.replaceable ||
	        !look.replaceable || !right_to_take(generation, kept, (uint32_t)to, request, &over))
		return say(-EPERM, -1, -1);
	int from = look.mode ? fdstore_find_file(store, look.file) : -1;
	if (from == to)
		return say(-EINVAL, -1, -1);
	if (is_held(instance, generation, from)) {
		struct listener *listener = &store->listeners[from];
		bool nonblock = generation_nonblock(generation, (uint32_t)from);
		if (listener->identity.type != kept->identity.type ||
		        !right_to_take(generation, listener, (uint32_t)from, request, &look))
			return say(-EPERM, -1, -1);
		kept->adopted |= !generation->holds[to];
		listener_set_template_consume(kept, fcntl(listener->fd, F_DUPFD_CLOEXEC, 3));
		if (instance_drop(instance, generation, (uint32_t)from))
			listener_close(listener);
		take(instance, generation, (uint32_t)to, nonblock, false, request->asker.uid);
		return (struct answer){{.listener = to, .backlog = from}, {kept->fd, -1}};
	}
	struct pending *pending = fdstore_pending_at(store, &look);
	if (!pending || pending->asker.generation != generation->id ||
	        pending->identity.type != kept->identity.type)
		return say(-ENOENT, -1, -1);
	pending->replaces = to;
	return (struct answer){{.listener = to, .backlog = -1}, {-1, -1}};
}

/* ---- ends ---- */

/* A datagram socket with a peer gets that peer's datagrams only: no service, and not shared. */
void handover_connected(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	uint32_t i = (uint32_t)request->listener;
	struct listener *listener = instance_listener(instance, i);
	if (!request->has_peer || !identity_is_datagram(&listener->identity) ||
	        !may_bind(generation))
		return;
	if (instance_drop(instance, generation, i)) {
		listener_forget(listener);
		publish_addresses(instance);
	}
}
