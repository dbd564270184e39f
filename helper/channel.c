/* SPDX-License-Identifier: MIT */
/* The launcher's end of the contract. */
#include "helper/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/crowd.h"
#include "helper/log.h"
#include "helper/poke.h"
#include "helper/publish.h"
#include "helper/socket_options.h"
#include "helper/switch.h"
#include "helper/tree.h"

enum { CLIENTS = 256 };

/* A connection: one request. Those that do not send theirs in time make room for others. */
struct client {
	struct watch watch;
	nanoseconds since;
};
static struct client clients[CLIENTS];
static struct watch server = {.fd = -1};
static struct instance *the_instance;

/* Listeners a process says it has closed: looked at a second later. */
enum { CLOSINGS = 64, CLOSE_LOOKS = 10 };
static const nanoseconds CLOSE_PATIENCE = SECOND;
struct closing {
	struct generation *generation; /* NULL: unused */
	uint32_t listener;
	nanoseconds at;
	unsigned looks; /* a descriptor on its way somewhere may be this one: look again */
};
static struct closing closings[CLOSINGS];
static struct timer closing_timer;
static struct timer late_switch;

static void forget(struct client *client)
{
	loop_unwatch(&client->watch);
	fd_close(&client->watch.fd);
}

static void answer_with(int client, struct moult_reply reply, int fd)
{
	struct iovec part = {&reply, sizeof(reply)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	}
	/* It may have been killed meanwhile. */
	(void)sendmsg(client, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void answer(int client, int error, int listener, int fd)
{
	answer_with(client, (struct moult_reply){.error = error, .listener = listener}, fd);
}

static bool is_held(const struct generation *generation, int listener)
{
	return listener >= 0 && (uint32_t)listener < the_instance->store.count &&
	       generation->holds[listener];
}

/* ---- closed listeners ---- */

static void closing_cancel(const struct generation *generation, int listener)
{
	for (size_t i = 0; i < CLOSINGS; i++)
		if (closings[i].generation == generation &&
		        (listener < 0 || closings[i].listener == (uint32_t)listener))
			closings[i].generation = NULL;
}

void channel_forget(const struct generation *generation)
{
	closing_cancel(generation, -1);
}

/* It is none of the generation's listeners any more. True: nor of any other's. */
static bool drop(struct generation *generation, uint32_t i)
{
	bool alone = true;
	generation->holds[i] = HOLDS_NOT;
	generation->held--;
	gate_set(generation, i, MOULT_GATE_NONE);
	generation_tell(generation);
	for (struct generation *g = the_instance->newest; g; g = g->older)
		alone &= !g->holds[i];
	return alone && instance_listener(the_instance, i)->state != LISTENER_GONE;
}

/* Nobody in the generation holds it any more: it is as closed as it would be without us. */
static void let_go(struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(the_instance, i);
	if (!drop(generation, i))
		return;
	char name[LISTENER_TEXT];
	listener_print(listener, name, sizeof(name));
	log_notice("generation %u: closed %s", generation->id, name);
	listener_close(listener);
	publish_addresses(the_instance);
}

static void look_at_closings(void *context)
{
	(void)context;
	bool more = false;
	for (size_t i = 0; i < CLOSINGS; i++) {
		struct closing *closing = &closings[i];
		struct generation *generation = closing->generation;
		if (!generation)
			continue;
		if (now() < closing->at) {
			more = true;
			continue;
		}
		closing->generation = NULL;
		/* With --restart=always the queue outlives a daemon that closes it to end. */
		if (generation->settings.restart == RESTART_ALWAYS ||
		        generation->state > GENERATION_CURRENT ||
		        !generation->holds[closing->listener])
			continue;
		if (!instance_holds(the_instance, generation, closing->listener))
			let_go(generation, closing->listener);
		else if (++closing->looks < CLOSE_LOOKS) {
			closing->generation = generation;
			closing->at = after(CLOSE_PATIENCE);
			more = true;
		}
	}
	if (more)
		loop_after(&closing_timer, 100 * MILLISECOND);
}

static void handle_closed(struct generation *generation, int listener)
{
	if (!is_held(generation, listener))
		return;
	for (size_t i = 0; i < CLOSINGS; i++)
		if (!closings[i].generation) {
			closings[i] = (struct closing){
			        generation, (uint32_t)listener, after(CLOSE_PATIENCE), 0};
			closing_timer.fire = look_at_closings;
			if (!closing_timer.armed)
				loop_after(&closing_timer, CLOSE_PATIENCE);
			return;
		}
	/* Too many at once: they stay in the store until the next upgrade does not want them. */
}

/* ---- bind and listen ---- */

/* A listener that the current generation takes up late is switched to it when it has been answered.
 */
static void switch_late(void *context)
{
	(void)context;
	if (the_instance->current)
		switch_to(the_instance, the_instance->current);
}

static void take(struct generation *generation, uint32_t i, bool nonblock, bool shared)
{
	struct listener *listener = instance_listener(the_instance, i);
	uint32_t word = switch_first_word(the_instance, generation, i);
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
	if (word == MOULT_GATE_WARMING && generation->state == GENERATION_CURRENT) {
		late_switch.fire = switch_late;
		loop_after(&late_switch, 0);
	}
}

/* The store's socket is to take the place of `fd` (consumed), which becomes its template. */
static void adopt_consume(int client, struct generation *generation, uint32_t i, int fd)
{
	struct listener *listener = instance_listener(the_instance, i);
	bool nonblock = socket_is_nonblock(fd);
	bool shared = socket_is_reuseport(fd);
	listener->adopted |= !generation->holds[i];
	listener_set_template_consume(listener, fd);
	take(generation, i, nonblock, shared);
	answer(client, 0, (int)i, listener->fd);
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
static bool is_due(struct generation *generation, uint32_t i, bool reuseport)
{
	const struct listener *listener = instance_listener(the_instance, i);
	if (!generation->holds[i])
		return true;
	if (listener->ephemeral) /* the kernel would choose another port */
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

static void handle_bind(
        int client, struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity wanted;
	int i = -1;
	if (!may_bind(generation) || requested_identity(request, fds, &wanted) < 0) {
		answer(client, 0, -1, -1);
		return;
	}
	bool reuseport = socket_is_reuseport(fds[0]);
	while ((i = fdstore_find(store, &wanted, i)) >= 0)
		if (is_due(generation, (uint32_t)i, reuseport))
			break;
	if (i >= 0) {
		adopt_consume(client, generation, (uint32_t)i, fds[0]);
		fds[0] = -1;
		return;
	}
	bool group = reuseport && identity_is_datagram(&wanted);
	if (group && is_being_bound(fds[0], &wanted)) {
		answer(client, -EAGAIN, -1, -1);
		return;
	}
	bool ephemeral = identity_is_inet(&wanted) && !identity_port(&wanted);
	if (ephemeral || group || identity_is_path(&wanted)) {
		struct pending *pending = fdstore_expect(store, fds[0], &wanted, fds[1]);
		fds[1] = -1;
		if (pending)
			pending->ephemeral = ephemeral;
	}
	answer(client, 0, -1, -1);
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
static void handle_yield(
        int client, struct generation *generation, const struct moult_request *request, int *fds)
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
	if (!pending) {
		answer(client, -EADDRINUSE, -1, -1);
		return;
	}
	pending->overlapping = true;
	pending->reuseport = socket_is_reuseport(fds[0]);
	socket_set_reuseport(fds[0], true);
	for (uint32_t i = 0; i < store->count; i++)
		if (yields(generation, i, &wanted))
			socket_set_reuseport(store->listeners[i].fd, true);
	answer(client, 0, -1, -1);
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
	          "hand "
	          "over: the next generation will have to bind it beside this one",
	        generation->id, family, family == AF_VSOCK ? " (vsock)" : "");
}

/* TCP: we make it listen.  UNIX: the daemon has, for SO_PEERCRED names who called listen(). */
static void handle_new(
        int client, struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity identity;
	int result = identity_of_bound(fds[0], &identity);
	if (result < 0) {
		say_unsupported(generation, fds[0]);
		answer(client, result, -1, -1);
		return;
	}
	struct pending *pending = fdstore_expected(store, fds[0]);
	int i = find_standing_for(generation, fds[0], &identity, pending);
	if (i >= 0) {
		adopt_consume(client, generation, (uint32_t)i, fds[0]);
		fds[0] = -1;
		return;
	}
	bool deferred = pending && pending->overlapping && !identity_is_datagram(&identity) &&
	                generation->state == GENERATION_NEXT && the_instance->current;
	if (identity_is_inet(&identity) && !identity_is_datagram(&identity) && !deferred &&
	        listen(fds[0], request->backlog) < 0) {
		answer(client, -errno, -1, -1);
		return;
	}
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
		answer(client, 0, -1, -1);
		return;
	}
	struct listener *listener = &store->listeners[i];
	listener->backlog = request->backlog;
	listener->born = generation->id;
	listener->deferred = deferred;
	listener->shared = shared;
	take(generation, (uint32_t)i, socket_is_nonblock(listener->fd), shared);
	answer(client, 0, i, -1);
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

static void handle_listen(
        int client, struct generation *generation, const struct moult_request *request, int *fds)
{
	int i = request->listener;
	if (!may_bind(generation) || (i < 0 && fds[0] < 0)) {
		answer(client, -EPERM, -1, -1);
		return;
	}
	if (i < 0) {
		handle_new(client, generation, request, fds);
		return;
	}
	if (!is_held(generation, i)) {
		answer(client, -EBADF, -1, -1);
		return;
	}
	struct listener *listener = instance_listener(the_instance, (uint32_t)i);
	listener->backlog = backlog_of(generation, (uint32_t)i, request->backlog);
	if (gate_get(generation, (uint32_t)i) == MOULT_GATE_SHUT)
		take(generation, (uint32_t)i, atomic_load(&generation->page->gate[i].nonblock) != 0,
		        generation->holds[i] == HOLDS_SHARED);
	answer_with(client,
	        (struct moult_reply){
	                .listener = listener->deferred ? -1 : i, .backlog = listener->backlog},
	        -1);
}

/* ---- paths ---- */

/* Only a place that names what the listener has been since: the daemon's word alone is not enough. */
static void handle_moved(int client, const struct moult_request *request, int *fds)
{
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	int i = request->listener;
	char name[sizeof(struct sockaddr_un)];
	if (fds[0] >= 0 &&
	        identity_set_address(&place, &request->address, request->address_length) == 0 &&
	        i >= 0 &&
	        fdstore_find_file(&the_instance->store, fds[0], identity_text(&place, name)) == i) {
		listener_set_place(instance_listener(the_instance, (uint32_t)i), fds[0], name);
		fds[0] = -1;
	}
	answer(client, 0, i, -1);
}

/*
 * A socket made beside the live one and renamed over its path: the live one takes its place in the
 * daemon instead, and keeps its path.
 */
static void handle_replace(
        int client, struct generation *generation, const struct moult_request *request, int *fds)
{
	struct fdstore *store = &the_instance->store;
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	char name[sizeof(struct sockaddr_un)];
	int to = request->listener;
	if (fds[0] < 0 || !may_bind(generation) || to < 0 || (uint32_t)to >= store->count ||
	        store->listeners[to].state != LISTENER_LIVE ||
	        identity_set_address(&place, &request->address, request->address_length) < 0 ||
	        identity_set_directory(&place, fds[0]) < 0) {
		answer(client, -EINVAL, -1, -1);
		return;
	}
	int from = fdstore_find_file(store, fds[0], identity_text(&place, name));
	if (from == to) {
		answer(client, -EINVAL, -1, -1);
		return;
	}
	if (is_held(generation, from)) {
		struct listener *listener = &store->listeners[from];
		bool nonblock = atomic_load(&generation->page->gate[from].nonblock);
		struct listener *kept = &store->listeners[to];
		kept->adopted |= !generation->holds[to];
		listener_set_template_consume(kept, fcntl(listener->fd, F_DUPFD_CLOEXEC, 3));
		if (drop(generation, (uint32_t)from))
			listener_close(listener);
		take(generation, (uint32_t)to, nonblock, false);
		answer_with(
		        client, (struct moult_reply){.listener = to, .backlog = from}, kept->fd);
		return;
	}
	for (size_t i = 0; i < store->pending_count; i++)
		if (identity_same_place(&store->pending[i].identity, &place)) {
			store->pending[i].replaces = to;
			answer_with(
			        client, (struct moult_reply){.listener = to, .backlog = -1}, -1);
			return;
		}
	answer(client, -ENOENT, -1, -1);
}

/* ---- ends ---- */

/* A datagram socket with a peer gets that peer's datagrams only: no service, and not shared. */
static void handle_connected(struct generation *generation, int i)
{
	if (is_held(generation, i) && drop(generation, (uint32_t)i)) {
		listener_forget(instance_listener(the_instance, (uint32_t)i));
		publish_addresses(the_instance);
	}
}

/* The daemon shut it down: its own accepts fail and return, the queue stays for its successor. */
static void handle_shut(int client, struct generation *generation, int i)
{
	if (is_held(generation, i)) {
		struct listener *listener = instance_listener(the_instance, (uint32_t)i);
		bool open = gate_get(generation, (uint32_t)i) == MOULT_GATE_OPEN;
		gate_set(generation, (uint32_t)i, MOULT_GATE_SHUT);
		generation_tell(generation);
		unsigned blocked = generation_inflight(generation);
		for (unsigned n = 0; open && n < blocked && n < 64; n++)
			poke_send(listener, the_instance->newest);
		crowd_begin(the_instance); /* looks after the pokes */
	}
	answer(client, 0, i, -1);
}

/* ---- requests ---- */

static struct generation *asker(int client, const struct moult_request *request)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return NULL;
	for (struct generation *g = the_instance->newest; g; g = g->older)
		if (g->id == request->generation &&
		        !memcmp(g->token, request->token, MOULT_TOKEN_DIGITS))
			return tree_has(g->keeper, peer.pid) ? g : NULL;
	return NULL;
}

/* `fds`: what came along, -1 for none; what is still there afterwards is closed. */
static void handle(int client, const struct moult_request *request, int *fds)
{
	struct generation *generation = asker(client, request);
	if (!generation) {
		answer(client, -EPERM, -1, -1);
		return;
	}
	int i = request->listener;
	switch (request->verb) {
	case MOULT_HELLO: answer(client, 0, -1, generation->page_fd); break;
	case MOULT_BIND: handle_bind(client, generation, request, fds); break;
	case MOULT_LISTEN: handle_listen(client, generation, request, fds); break;
	case MOULT_CLOSED: handle_closed(generation, i); break;
	case MOULT_SHUT: handle_shut(client, generation, i); break;
	case MOULT_TEMPLATE:
		/* Once it accepts, its options are the shared socket's. */
		answer(client, 0, i,
		        is_held(generation, i) &&
		                        gate_get(generation, (uint32_t)i) == MOULT_GATE_WARMING
		                ? instance_listener(the_instance, (uint32_t)i)->template
		                : -1);
		break;
	case MOULT_YIELD: handle_yield(client, generation, request, fds); break;
	case MOULT_UNLINKED:
		if (i >= 0 && (uint32_t)i < the_instance->store.count)
			instance_listener(the_instance, (uint32_t)i)->unlinked = generation->id;
		break;
	case MOULT_MOVED: handle_moved(client, request, fds); break;
	case MOULT_REPLACE: handle_replace(client, generation, request, fds); break;
	case MOULT_CONNECTED: handle_connected(generation, i); break;
	default: answer(client, -EINVAL, -1, -1);
	}
}

static void readable(void *context)
{
	struct client *client = context;
	struct moult_request request = {0};
	struct iovec part = {&request, sizeof(request)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(2 * sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	int fds[2] = {-1, -1};
	ssize_t length = recvmsg(client->watch.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len <= CMSG_LEN(sizeof(fds)))
		memcpy(fds, CMSG_DATA(header), header->cmsg_len - CMSG_LEN(0));
	if (message.msg_flags & MSG_CTRUNC)
		log_error(
		        "a descriptor sent by the daemon could not be taken: the launcher's limit "
		        "of open files (ulimit -Hn) is too low");
	if (length == sizeof(request) && request.contract == MOULT_CONTRACT)
		handle(client->watch.fd, &request, fds);
	else if (length >= (ssize_t)sizeof(request.contract)) {
		log_error(
		        "a process asked in contract %u, this launcher speaks %u: libmoult.so and "
		        "moult are of different versions; the process runs as without moult",
		        request.contract, MOULT_CONTRACT);
		answer(client->watch.fd, -EPROTO, -1, -1);
	}
	fd_close(&fds[0]);
	fd_close(&fds[1]);
	forget(client);
}

static void acceptable(void *context)
{
	(void)context;
	int fd = accept4(server.fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return;
	struct client *client = NULL;
	for (size_t i = 0; i < CLIENTS; i++) {
		/* The shim has sent when it is connected: who has not for so long is none. */
		if (clients[i].watch.fd >= 0 &&
		        now() - clients[i].since > MOULT_REPLY_SECONDS * SECOND)
			forget(&clients[i]);
		if (clients[i].watch.fd < 0)
			client = &clients[i];
	}
	if (!client) {
		close(fd);
		return;
	}
	*client = (struct client){
	        .watch = {.fd = fd, .ready = readable, .context = client}, .since = now()};
	if (loop_watch(&client->watch) < 0)
		forget(client);
}

int channel_start(struct instance *instance)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned char random[8];
	the_instance = instance;
	for (size_t i = 0; i < CLIENTS; i++)
		clients[i].watch.fd = -1;
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -errno;
	int length = snprintf(instance->channel_address, sizeof(instance->channel_address),
	        "moult-%d-%02x%02x%02x%02x%02x%02x%02x%02x", getpid(), random[0], random[1],
	        random[2], random[3], random[4], random[5], random[6], random[7]);
	memcpy(address.sun_path + 1, instance->channel_address, (size_t)length);
	server.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (server.fd < 0 ||
	        bind(server.fd, (struct sockaddr *)&address,
	                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) <
	                0 ||
	        listen(server.fd, 512) < 0)
		return -errno;
	server.ready = acceptable;
	return loop_watch(&server);
}

void channel_stop(void)
{
	for (size_t i = 0; i < CLIENTS; i++)
		if (clients[i].watch.fd >= 0)
			forget(&clients[i]);
	loop_unwatch(&server);
	fd_close(&server.fd);
}
