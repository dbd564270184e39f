/* SPDX-License-Identifier: MIT */
/* Which socket a generation gets when it binds or listens. */
#include "helper/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/closing.h"
#include "helper/crowd.h"
#include "helper/log.h"
#include "helper/moves.h"
#include "helper/publish.h"
#include "helper/socket_options.h"
#include "helper/switch.h"

static struct instance *the_instance;

void handover_init(struct instance *instance)
{
	the_instance = instance;
}

static struct answer say(int error, int listener, int fd)
{
	return (struct answer){{.error = error, .listener = listener}, fd};
}

static bool is_held(const struct generation *generation, int listener)
{
	return instance_is_holder(the_instance, generation, listener);
}

/* ---- bind and listen ---- */

static void take(struct generation *generation, uint32_t i, bool nonblock, bool shared)
{
	struct listener *listener = instance_listener(the_instance, i);
	uint32_t word = switch_first_word(the_instance, generation, i);
	if (the_instance->state <
	        INSTANCE_DRAINING) /* else it is for the queue, and for nobody new */
		listener_admit(listener);
	if (listener->unlinked == generation->id) /* what it removed it has made again */
		listener->unlinked = 0;
	closing_cancel(generation, (int)i);
	if ((word & MOULT_GATE_STATE) == MOULT_GATE_OPEN) {
		listener_prepare(listener, nonblock);
		listener->owner = generation->id;
	}
	publish_addresses(the_instance);
	generation_take(generation, i, shared ? HOLDS_SHARED : HOLDS_ALONE, listener->inode,
	        nonblock, word);
	if (word & MOULT_GATE_CROWDED)
		crowd_begin(the_instance);
	if (word == MOULT_GATE_WARMING && generation->state == GENERATION_CURRENT)
		moves_expect(the_instance);
}

/* The store's socket is to take the place of `fd` (consumed), which becomes its template. */
static struct answer adopt_consume(struct generation *generation, uint32_t i, int fd)
{
	struct listener *listener = instance_listener(the_instance, i);
	bool nonblock = socket_is_nonblock(fd);
	bool shared = socket_is_reuseport(fd);
	listener->adopted |= !generation->holds[i];
	listener_set_template_consume(listener, fd);
	take(generation, i, nonblock, shared);
	return say(0, (int)i, listener->fd);
}

static bool may_bind(const struct generation *generation)
{
	return generation->state == GENERATION_NEXT || generation->state == GENERATION_CURRENT;
}

/* What the request's bind() was called with. */
static int requested_identity(
        const struct moult_request *request, const int *fds, struct identity *ret_identity)
{
	int result = identity_of(fds[0], ret_identity);
	if (result == 0)
		result = identity_set_address(
		        ret_identity, &request->address, request->address_length);
	if (result == 0 && identity_is_path(ret_identity))
		result = identity_set_directory(ret_identity, fds[1]);
	return result;
}

/*
 * Once per generation; and again when no process of it has it any more, when the daemon has made
 * room for another socket at the path, or for one more member of a SO_REUSEPORT group: all of them
 * share one queue, so that nobody's end, and no change of their number, can reset a part of it.
 */
static bool is_due(struct generation *generation, uint32_t i, int fd)
{
	bool reuseport = socket_is_reuseport(fd);
	const struct listener *listener = instance_listener(the_instance, i);
	if (!generation->holds[i])
		return true;
	if (listener->ephemeral) /* the kernel would choose another port */
		return false;
	/* Servers with a UDP socket for each client bind it to this address, and then connect it:
	 * a look at all descriptors for each would be dear. */
	if (identity_is_datagram(&listener->identity) && identity_is_inet(&listener->identity) &&
	        generation->holds[i] == HOLDS_ALONE && socket_is_reuseaddr(fd) &&
	        !closing_is_pending(generation, i))
		return false;
	return (generation->holds[i] == HOLDS_SHARED && reuseport) ||
	       (listener->directory >= 0 && listener->unlinked == generation->id) ||
	       !instance_holds(the_instance, generation, i);
}

/* Another process of the group binds its socket just now, and will be the first of it. */
static bool is_being_bound(int fd, const struct identity *identity)
{
	const struct fdstore *store = &the_instance->store;
	const struct pending *own = fdstore_expected(&the_instance->store, fd);
	for (size_t i = 0; i < store->pending_count; i++)
		if (&store->pending[i] != own && now() - store->pending[i].since < SECOND &&
		        identity_equal(&store->pending[i].identity, identity))
			return true;
	return false;
}

/*
 * An old generation that binds its address again, as some do after each client: it gets the socket,
 * and may not accept.  Without it it would end, with the connections it still has.  The options it
 * has set are not wanted any more.
 */
static struct answer adopt_again(struct generation *generation, uint32_t i, int fd)
{
	struct listener *listener = instance_listener(the_instance, i);
	uint32_t state = gate_get(generation, i);
	if (listener->unlinked == generation->id)
		listener->unlinked = 0;
	closing_cancel(generation, (int)i);
	if (state != MOULT_GATE_OPEN) /* one that only it has may stay open till the end */
		generation_take(generation, i, socket_is_reuseport(fd) ? HOLDS_SHARED : HOLDS_ALONE,
		        listener->inode, socket_is_nonblock(fd), MOULT_GATE_DRAINING);
	return say(0, (int)i, listener->fd);
}

struct answer handover_bind(
        struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity wanted;
	int i = -1;
	if (requested_identity(request, fds, &wanted) < 0)
		return say(0, -1, -1);
	bool reuseport = socket_is_reuseport(fds[0]);
	while ((i = fdstore_find(store, &wanted, i)) >= 0)
		if (is_due(generation, (uint32_t)i, fds[0]))
			break;
	if (!may_bind(generation))
		return i >= 0 ? adopt_again(generation, (uint32_t)i, fds[0]) : say(0, -1, -1);
	if (i >= 0) {
		int fd = fds[0];
		fds[0] = -1;
		return adopt_consume(generation, (uint32_t)i, fd);
	}
	bool group = reuseport && identity_is_datagram(&wanted);
	if (group && is_being_bound(fds[0], &wanted))
		return say(-EAGAIN, -1, -1);
	bool ephemeral = identity_is_inet(&wanted) && !identity_port(&wanted);
	if (ephemeral || group || identity_is_path(&wanted)) {
		struct pending *pending = fdstore_expect(store, fds[0], &wanted, fds[1]);
		fds[1] = -1;
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
        struct generation *generation, const struct moult_request *request, int *fds)
{
	const struct fdstore *store = &the_instance->store;
	struct identity wanted;
	bool found = false;
	if (!may_bind(generation) || requested_identity(request, fds, &wanted) < 0)
		return say(-ENOENT, -1, -1);
	for (uint32_t i = 0; i < store->count && !found; i++)
		found = store->listeners[i].state != LISTENER_GONE && !generation->holds[i] &&
		        identity_is_found_at(&store->listeners[i].identity, &wanted);
	return say(found ? 0 : -ENOENT, -1, -1);
}

/* What the new socket cannot be bound beside, though it is another address. */
static bool yields(const struct generation *generation, uint32_t i, const struct identity *wanted)
{
	const struct listener *listener = instance_listener(the_instance, i);
	return listener->state != LISTENER_GONE && identity_overlaps(&listener->identity, wanted) &&
	       !generation->holds[i];
}

/*
 * The address has changed from one host to all, from IPv4 to both families, or back: the kernel lets
 * the two be bound beside each other only if both say SO_REUSEPORT.  A TCP socket does not listen
 * before the switch: it might take what the current generation is to serve.  A datagram socket takes
 * from its bind() on, so it may only be the less specific of the two.
 */
struct answer handover_yield(
        struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity wanted;
	bool any = false, alone = may_bind(generation) &&
	                          requested_identity(request, fds, &wanted) == 0 &&
	                          identity_is_inet(&wanted);
	for (uint32_t i = 0; i < store->count && alone; i++) {
		const struct listener *listener = &store->listeners[i];
		bool overlaps = listener->state != LISTENER_GONE &&
		                identity_overlaps(&listener->identity, &wanted);
		any |= overlaps;
		alone &= !overlaps ||
		         (yields(generation, i, &wanted) &&
		                 (!identity_is_datagram(&wanted) ||
		                         identity_covers(&wanted, &listener->identity)));
	}
	struct pending *pending = alone && any ? fdstore_expect(store, fds[0], &wanted, -1) : NULL;
	if (!pending)
		return say(-EADDRINUSE, -1, -1);
	pending->overlapping = true;
	pending->reuseport = socket_is_reuseport(fds[0]);
	socket_set_reuseport(fds[0], true);
	for (uint32_t i = 0; i < store->count; i++)
		if (yields(generation, i, &wanted))
			socket_set_reuseport(store->listeners[i].fd, true);
	return say(0, -1, -1);
}

/* It is bound: a genuine conflict is to be one again. */
static void end_of_yielding(
        const struct generation *generation, const struct pending *pending, int fd)
{
	socket_set_reuseport(fd, pending->reuseport);
	for (uint32_t i = 0; i < the_instance->store.count; i++)
		if (yields(generation, i, &pending->identity))
			socket_set_reuseport(instance_listener(the_instance, i)->fd,
			        instance_listener(the_instance, i)->shared);
}

/* The one in the store that a new socket is to be replaced by, or -1. */
static int find_standing_for(const struct generation *generation, int fd,
        const struct identity *identity, const struct pending *pending)
{
	const struct fdstore *store = &the_instance->store;
	if (pending && pending->replaces >= 0)
		return store->listeners[pending->replaces].state == LISTENER_LIVE
		               ? pending->replaces
		               : -1;
	int i = identity_is_inet(identity) && socket_is_reuseport(fd)
	                ? fdstore_find_equal(store, identity)
	                : -1;
	return i >= 0 && generation->holds[i] != HOLDS_ALONE &&
	                       store->listeners[i].inode != socket_inode(fd)
	               ? i
	               : -1;
}

static void say_unsupported(struct generation *generation, int fd)
{
	int family = 0;
	socklen_t length = sizeof(family);
	if (generation->told_unsupported)
		return;
	generation->told_unsupported = true;
	(void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length);
	log_error("generation %u: listens on a socket of address family %d%s, which moult cannot "
	          "hand over: the next generation will have to bind it beside this one",
	        generation->id, family, family == AF_VSOCK ? " (vsock)" : "");
}

/* While another generation uses the queue its limit only grows; as the kernel has it, unsigned. */
static int backlog_of(const struct generation *generation, uint32_t i, int wanted)
{
	const struct listener *listener = instance_listener(the_instance, i);
	bool shared = false;
	for (struct generation *g = the_instance->newest; g; g = g->older)
		shared |= g != generation && g->holds[i];
	return shared && (unsigned)wanted < (unsigned)listener->backlog ? listener->backlog
	                                                                : wanted;
}

/*
 * Processes that have inherited one bound socket may all call listen(), and those that do before one
 * of them has been answered do not know that it is a listener by now.
 */
static int find_same(const struct generation *generation, int fd)
{
	const struct fdstore *store = &the_instance->store;
	uint64_t inode = socket_inode(fd);
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state != LISTENER_GONE && generation->holds[i] &&
		        store->listeners[i].inode == inode)
			return (int)i;
	return -1;
}

static struct answer add_again(struct generation *generation, uint32_t i, int fd, int backlog)
{
	struct listener *listener = instance_listener(the_instance, i);
	listener->backlog = backlog_of(generation, i, backlog);
	if (identity_is_inet(&listener->identity) && !identity_is_datagram(&listener->identity) &&
	        !listener->deferred &&
	        listen(fd, listener->raised ? LISTENER_MOST : listener->backlog) < 0)
		return say(-errno, -1, -1);
	return say(0, (int)i, -1);
}

/* TCP: we make it listen.  UNIX: the daemon has, for SO_PEERCRED names who called listen(). */
static struct answer add_new(
        struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity identity;
	int result = identity_of_bound(fds[0], &identity);
	if (result < 0) {
		say_unsupported(generation, fds[0]);
		return say(result, -1, -1);
	}
	int i = find_same(generation, fds[0]);
	if (i >= 0)
		return add_again(generation, (uint32_t)i, fds[0], request->backlog);
	struct pending *pending = fdstore_expected(store, fds[0]);
	i = find_standing_for(generation, fds[0], &identity, pending);
	if (i >= 0) {
		int fd = fds[0];
		fds[0] = -1;
		return adopt_consume(generation, (uint32_t)i, fd);
	}
	bool deferred = pending && pending->overlapping && !identity_is_datagram(&identity) &&
	                generation->state == GENERATION_NEXT &&
	                (the_instance->current || generation->awaits_turn);
	if (identity_is_inet(&identity) && !identity_is_datagram(&identity) && !deferred &&
	        listen(fds[0], request->backlog) < 0)
		return say(-errno, -1, -1);
	/* listen() looks for conflicts as bind() does. */
	bool shared =
	        pending && pending->overlapping ? pending->reuseport : socket_is_reuseport(fds[0]);
	if (pending && pending->overlapping && !deferred)
		end_of_yielding(generation, pending, fds[0]);
	i = fdstore_add_consume(store, fds[0]);
	fds[0] = -1;
	if (i < 0) { /* it has been done, but will not be handed over */
		log_error("generation %u: a listening socket cannot be kept: %s", generation->id,
		        strerror(-i));
		return say(0, -1, -1);
	}
	struct listener *listener = &store->listeners[i];
	listener->backlog = request->backlog;
	listener->born = generation->id;
	listener->late = generation->state == GENERATION_CURRENT;
	listener->deferred = deferred;
	listener->shared = shared;
	take(generation, (uint32_t)i, socket_is_nonblock(listener->fd), shared);
	return say(0, i, -1);
}

struct answer handover_listen(
        struct generation *generation, const struct moult_request *request, int *fds)
{
	int i = request->listener;
	if (i < 0 && (!may_bind(generation) || fds[0] < 0))
		return say(-EPERM, -1, -1);
	if (i < 0) {
		return add_new(generation, request, fds);
	}
	if (!is_held(generation, i))
		return say(-EBADF, -1, -1);
	if (!may_bind(generation)) { /* the queue is its successor's */
		if (gate_get(generation, (uint32_t)i) == MOULT_GATE_SHUT)
			gate_set(generation, (uint32_t)i, MOULT_GATE_DRAINING);
		return say(0, -1, -1);
	}
	struct listener *listener = instance_listener(the_instance, (uint32_t)i);
	listener->backlog = backlog_of(generation, (uint32_t)i, request->backlog);
	if (gate_get(generation, (uint32_t)i) == MOULT_GATE_SHUT)
		take(generation, (uint32_t)i, generation_nonblock(generation, (uint32_t)i),
		        generation->holds[i] == HOLDS_SHARED);
	return (struct answer){
	        {.listener = listener->deferred ? -1 : i,
	                .backlog = listener->raised ? LISTENER_MOST : listener->backlog},
	        -1};
}

/* ---- paths ---- */

/* Only a place that names what the listener has been since: the daemon's word alone is not enough. */
struct answer handover_moved(const struct moult_request *request, int *fds)
{
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	struct fdstore *store = &the_instance->store;
	int i = request->listener;
	char name[sizeof(struct sockaddr_un)];
	if (fds[0] < 0 ||
	        identity_set_address(&place, &request->address, request->address_length) < 0)
		return say(-EINVAL, -1, -1);
	identity_text(&place, name);
	struct pending *pending = i < 0 ? fdstore_pending_at(store, fds[0], name) : NULL;
	if (pending)
		pending_set_place(pending, fds[0], name);
	else if (i >= 0 && fdstore_find_file(store, fds[0], name) == i)
		listener_set_place(instance_listener(the_instance, (uint32_t)i), fds[0], name);
	else
		return say(-ENOENT, -1, -1);
	fds[0] = -1;
	return say(0, i, -1);
}

/* Of several links to the live socket only the one that it is known by. */
struct answer handover_unlinked(
        struct generation *generation, const struct moult_request *request, const int *fds)
{
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	int i = request->listener;
	if (i < 0 || (uint32_t)i >= the_instance->store.count)
		return say(-EBADF, -1, -1);
	struct listener *listener = instance_listener(the_instance, (uint32_t)i);
	if (fds[0] >= 0 &&
	        (identity_set_address(&place, &request->address, request->address_length) < 0 ||
	                identity_set_directory(&place, fds[0]) < 0 ||
	                !identity_same_place(&listener->identity, &place)))
		return say(-ENOENT, -1, -1);
	listener->unlinked = generation->id;
	return say(0, i, -1);
}

/*
 * A socket made beside the live one and renamed over its path: the live one takes its place in the
 * daemon instead, and keeps its path.
 */
struct answer handover_replace(
        struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	char name[sizeof(struct sockaddr_un)];
	int to = request->listener;
	if (fds[0] < 0 || !may_bind(generation) || to < 0 || (uint32_t)to >= store->count ||
	        store->listeners[to].state != LISTENER_LIVE ||
	        identity_set_address(&place, &request->address, request->address_length) < 0 ||
	        identity_set_directory(&place, fds[0]) < 0)
		return say(-EINVAL, -1, -1);
	int from = fdstore_find_file(store, fds[0], identity_text(&place, name));
	if (from == to)
		return say(-EINVAL, -1, -1);
	if (is_held(generation, from)) {
		struct listener *listener = &store->listeners[from];
		bool nonblock = generation_nonblock(generation, (uint32_t)from);
		struct listener *kept = &store->listeners[to];
		kept->adopted |= !generation->holds[to];
		listener_set_template_consume(kept, fcntl(listener->fd, F_DUPFD_CLOEXEC, 3));
		if (instance_drop(the_instance, generation, (uint32_t)from))
			listener_close(listener);
		take(generation, (uint32_t)to, nonblock, false);
		return (struct answer){{.listener = to, .backlog = from}, kept->fd};
	}
	struct pending *pending = fdstore_pending_at(store, fds[0], name);
	if (!pending)
		return say(-ENOENT, -1, -1);
	pending->replaces = to;
	return (struct answer){{.listener = to, .backlog = -1}, -1};
}

/* ---- ends ---- */

/* A datagram socket with a peer gets that peer's datagrams only: no service, and not shared. */
void handover_connected(struct generation *generation, int i)
{
	if (is_held(generation, i) && instance_drop(the_instance, generation, (uint32_t)i)) {
		listener_forget(instance_listener(the_instance, (uint32_t)i));
		publish_addresses(the_instance);
	}
}
