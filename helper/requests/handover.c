/* SPDX-License-Identifier: MIT */
/* A generation takes up a listener: a stored one, or its own, which the store then keeps. */
#include "helper/requests/handover.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/log.h"
#include "helper/requests/beside.h"
#include "helper/requests/closing.h"
#include "helper/requests/group.h"
#include "helper/requests/publish.h"
#include "helper/requests/rights.h"
#include "helper/state/pending.h"
#include "helper/state/socket_options.h"
#include "helper/switch/crowd.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/* ---- taking up ---- */

void handover_take(struct instance *instance, struct generation *generation, uint32_t i,
        bool nonblock, bool shared, uid_t uid)
{
	struct listener *listener = instance_listener(instance, i);
	uint32_t word = switch_first_word(instance, generation, i);
	if (!instance_is_ending(instance)) /* else it is for the queue, and for nobody new */
		listener_admit(listener);
	if (listener->unlinked == generation->id) /* its path exists again */
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
	generation_take(generation, i, group_holding(shared), listener->inode, nonblock, word);
	if (word & MOULT_GATE_CROWDED)
		crowd_begin(instance);
	if (word == MOULT_GATE_WARMING && generation->state == GENERATION_CURRENT)
		moves_expect(instance);
}

/* A filter with SO_LOCK_FILTER cannot be removed: it lasts as long as the socket. */
static void say_spoiled(const struct listener *listener)
{
	char name[LISTENER_TEXT];
	listener_print(listener, name, sizeof(name));
	log_error("%s: a process of an earlier generation has locked a packet filter on it, which "
	          "may keep clients away until moult itself is stopped and started",
	        name);
}

struct answer handover_adopt(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request, struct received *received)
{
	struct listener *listener = instance_listener(instance, i);
	if (socket_has_locked_filter(listener->fd) && !socket_has_locked_filter(received->socket))
		say_spoiled(listener);
	listener->adopted |= !generation->holds[i];
	listener_set_template_consume(listener, received->socket);
	received->socket = -1;
	handover_take(
	        instance, generation, i, request->nonblock, request->reuseport, request->asker.uid);
	return answer_with(0, (int)i, listener->fd);
}

/* ---- listening ---- */

/* The stored listener that takes the place of a socket that was bound by itself, or -1. */
static int find_standing_for(const struct fdstore *store, const struct generation *generation,
        const struct request *request, const struct identity *identity,
        const struct pending *pending)
{
	if (pending && pending->replaces >= 0)
		return store->listeners[pending->replaces].state == LISTENER_LIVE
		               ? pending->replaces
		               : -1;
	return group_find(store, generation, request, identity);
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

/*
 * The backlog to listen with.  While another generation holds the listener, the backlog only grows.
 * The numbers are compared as the kernel does, unsigned: -1 is the largest.
 */
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
 * The listener of the generation that this very socket is already, or -1.  Several processes that
 * have inherited one bound socket may call listen() at the same time.  When the first has been
 * answered, the others still ask as for a new socket.
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
		return answer_with(-errno, -1, -1);
	return answer_with(0, (int)i, -1);
}

static uint32_t oldest_generation(const struct instance *instance)
{
	const struct generation *generation = instance->newest;
	while (generation->older)
		generation = generation->older;
	return generation->id;
}

/* A generation may add half of all listeners, so that the next one can add as many. */
static bool is_over_quota(struct generation *generation)
{
	if (generation->added < MOULT_LISTENERS / 2 && fd_is_plenty())
		return false;
	if (!generation->told_quota)
		log_error("generation %u: more listening sockets than moult can keep (at most %d "
		          "new ones, and the launcher needs descriptors: ulimit -Hn); further ones "
		          "are not handed over",
		        generation->id, MOULT_LISTENERS / 2);
	generation->told_quota = true;
	return true;
}

/*
 * The launcher makes a TCP socket listen, so that of a SO_REUSEPORT group only one socket does.  A
 * UNIX socket listens already: SO_PEERCRED names the process that called listen(), which must be
 * the daemon.
 */
struct answer handover_listen(struct instance *instance, struct generation *generation,
        const struct request *request, struct received *received)
{
	struct fdstore *store = &instance->store;
	struct identity identity = request->identity;
	if (!generation_may_bind(generation))
		return answer_with(-EPERM, -1, -1);
	if (!request->is_known) {
		say_unsupported(generation, request->family);
		return answer_with(-EAFNOSUPPORT, -1, -1);
	}
	if (received->socket < 0)
		return answer_with(-EPERM, -1, -1);
	int fd = received->socket;
	int i = find_same(store, generation, request->socket);
	if (i >= 0)
		return add_again(instance, generation, (uint32_t)i, fd, request->backlog);
	struct pending *pending = fdstore_expected(store, request->socket);
	i = find_standing_for(store, generation, request, &identity, pending);
	if (i >= 0 && right_to_take(generation, &store->listeners[i], (uint32_t)i, request, NULL))
		return handover_adopt(instance, generation, (uint32_t)i, request, received);
	bool deferred = pending && pending->overlapping && !identity_is_datagram(&identity) &&
	                generation->state == GENERATION_WARMING &&
	                (instance->current || generation->awaits_turn);
	if (identity_is_inet(&identity) && !identity_is_datagram(&identity) && !deferred &&
	        listen(fd, request->backlog) < 0) {
		int error = errno;
		/* The daemon now calls listen() itself, gets EADDRINUSE, and reports it. */
		if (error != EADDRINUSE)
			log_error("generation %u: a listening socket cannot be kept: %s",
			        generation->id, strerror(error));
		return answer_with(-error, -1, -1);
	}
	bool shared = pending && pending->overlapping ? pending->reuseport : request->reuseport;
	/* After listen(), which checks for conflicting addresses as bind() does. */
	if (pending && pending->overlapping && !deferred)
		beside_end(instance, generation, pending, fd);
	if (is_over_quota(generation))
		return answer_with(0, -1, -1);
	i = fdstore_add_consume(store, fd, oldest_generation(instance));
	received->socket = -1;
	if (i < 0) { /* the socket listens, and is not handed over */
		log_error("generation %u: a listening socket cannot be kept: %s", generation->id,
		        strerror(-i));
		return answer_with(0, -1, -1);
	}
	struct listener *listener = &store->listeners[i];
	generation->added++;
	listener->backlog = request->backlog;
	listener->born = generation->id;
	listener->late = generation->state == GENERATION_CURRENT;
	listener->deferred = deferred;
	listener->shared = shared;
	handover_take(
	        instance, generation, (uint32_t)i, request->nonblock, shared, request->asker.uid);
	return answer_with(0, i, -1);
}

struct answer handover_listen_again(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	uint32_t i = (uint32_t)request->listener;
	if (!generation_may_bind(generation)) { /* no listen(): the queue is its successor's */
		if (gate_get(generation, i) == MOULT_GATE_SHUT) {
			gate_set(generation, i, MOULT_GATE_DRAINING);
			generation_tell(generation);
		}
		return answer_with(0, -1, -1);
	}
	struct listener *listener = instance_listener(instance, i);
	listener->backlog = backlog_of(instance, generation, i, request->backlog);
	if (gate_get(generation, i) == MOULT_GATE_SHUT)
		handover_take(instance, generation, i, generation_nonblock(generation, i),
		        generation->holds[i] == HOLDS_SHARED, generation->taken_by[i]);
	return (struct answer){
	        {.listener = listener->deferred ? -1 : (int)i,
	                .backlog = listener->raised ? LISTENER_MOST : listener->backlog},
	        {-1, -1}};
}

/* ---- not a listener any more ---- */

/*
 * A datagram socket with a peer receives only that peer's datagrams.  It is no service any more,
 * and is not shared.
 */
void handover_connected(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	uint32_t i = (uint32_t)request->listener;
	struct listener *listener = instance_listener(instance, i);
	if (!request->has_peer || !identity_is_datagram(&listener->identity) ||
	        !generation_may_bind(generation))
		return;
	if (instance_drop(instance, generation, i)) {
		listener_forget(listener);
		publish_addresses(instance);
	}
}
