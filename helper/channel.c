/* SPDX-License-Identifier: MIT */
/* The launcher's end of the contract. */
#include "helper/channel.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/crowd.h"
#include "helper/log.h"
#include "helper/poke.h"
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
enum { CLOSINGS = 64 };
static const nanoseconds CLOSE_PATIENCE = SECOND;
struct closing {
	struct generation *generation; /* NULL: unused */
	uint32_t listener;
	nanoseconds at;
};
static struct closing closings[CLOSINGS];
static struct timer closing_timer;
static struct timer late_switch;

static void forget(struct client *client)
{
	loop_unwatch(&client->watch);
	fd_close(&client->watch.fd);
}

static void answer(int client, int error, int listener, int fd)
{
	struct moult_reply reply = {error, listener};
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

/* Nobody in the generation holds it any more: it is as closed as it would be without us. */
static void let_go(struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(the_instance, i);
	bool alone = true;
	generation->holds[i] = 0;
	generation->held--;
	gate_set(generation, i, MOULT_GATE_NONE);
	generation_tell(generation);
	for (struct generation *g = the_instance->newest; g; g = g->older)
		alone &= !g->holds[i];
	if (!alone || listener->state == LISTENER_GONE)
		return;
	char name[80];
	listener_print(listener, name, sizeof(name));
	log_notice("generation %u: closed %s", generation->id, name);
	listener_close(listener);
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
		if (generation->settings.restart != RESTART_ALWAYS &&
		        generation->state <= GENERATION_CURRENT &&
		        generation->holds[closing->listener] &&
		        !instance_holds(the_instance, generation, closing->listener))
			let_go(generation, closing->listener);
	}
	if (more)
		loop_after(&closing_timer, 100 * MILLISECOND);
}

static void handle_closed(struct generation *generation, int listener)
{
	if (listener < 0 || (uint32_t)listener >= the_instance->store.count ||
	        !generation->holds[listener])
		return;
	for (size_t i = 0; i < CLOSINGS; i++)
		if (!closings[i].generation) {
			closings[i] = (struct closing){
			        generation, (uint32_t)listener, after(CLOSE_PATIENCE)};
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

static void take(struct generation *generation, uint32_t i, bool nonblock)
{
	struct listener *listener = instance_listener(the_instance, i);
	uint32_t word = switch_first_word(the_instance, generation, i);
	if (listener->state == LISTENER_RETIRING) {
		listener_refuse(listener, false);
		listener->state = LISTENER_LIVE;
	}
	closing_cancel(generation, (int)i);
	if ((word & MOULT_GATE_STATE) == MOULT_GATE_OPEN) {
		listener_apply_fresh(listener);
		listener_set_nonblock(listener, nonblock);
	}
	generation_take(generation, i, listener->inode, nonblock, word);
	if (word & MOULT_GATE_CROWDED)
		crowd_begin(the_instance);
	if (word == MOULT_GATE_WARMING && generation->state == GENERATION_CURRENT) {
		late_switch.fire = switch_late;
		loop_after(&late_switch, 0);
	}
}

static bool may_bind(const struct generation *generation)
{
	return generation->state == GENERATION_NEXT || generation->state == GENERATION_CURRENT;
}

static bool asks_for_any_port(const struct moult_request *request)
{
	/* The port is at the same place for both families. */
	return ((const struct sockaddr_in *)&request->address)->sin_port == 0;
}

static void handle_bind(
        int client, struct generation *generation, const struct moult_request *request, int *fd)
{
	struct fdstore *store = &the_instance->store;
	int i = -1;
	if (*fd < 0 || !may_bind(generation) ||
	        request->address_length > sizeof(request->address)) {
		answer(client, 0, -1, -1);
		return;
	}
	while ((i = fdstore_find(store, *fd, &request->address, request->address_length, i)) >= 0)
		/* Once per generation, and again when no process of it has it any more. */
		if (!generation->holds[i] || !instance_holds(the_instance, generation, (uint32_t)i))
			break;
	if (i < 0) {
		if (asks_for_any_port(request))
			fdstore_note_ephemeral(store, *fd);
		answer(client, 0, -1, -1);
		return;
	}
	struct listener *listener = &store->listeners[i];
	struct listener probe = {.fd = *fd};
	bool nonblock = listener_is_nonblock(&probe);
	listener->adopted |= !generation->holds[i];
	listener_set_fresh_consume(listener, *fd);
	*fd = -1;
	take(generation, (uint32_t)i, nonblock);
	answer(client, 0, i, listener->fd);
}

/* While another generation uses the queue its limit only grows. */
static void set_backlog(const struct generation *generation, uint32_t i, int backlog)
{
	struct listener *listener = instance_listener(the_instance, i);
	bool shared = false;
	for (struct generation *g = the_instance->newest; g; g = g->older)
		shared |= g != generation && g->holds[i];
	if (!shared || backlog > listener->backlog)
		listener_set_backlog(listener, backlog);
}

static void handle_listen(
        int client, struct generation *generation, const struct moult_request *request, int *fd)
{
	struct fdstore *store = &the_instance->store;
	int i = request->listener;
	if (!may_bind(generation)) {
		answer(client, -EPERM, -1, -1);
		return;
	}
	if (i < 0 && *fd >= 0) {
		i = fdstore_add_consume(store, *fd);
		*fd = -1;
		if (i < 0) { /* UDP, UNIX: not handed over, and libc has listened already */
			answer(client, i, -1, -1);
			return;
		}
		struct listener *listener = &store->listeners[i];
		listener->backlog = request->backlog;
		listener->born = generation->id;
		take(generation, (uint32_t)i, listener_is_nonblock(listener));
		answer(client, 0, i, -1);
		return;
	}
	if (i < 0 || (uint32_t)i >= store->count || !generation->holds[i]) {
		answer(client, -EBADF, -1, -1);
		return;
	}
	set_backlog(generation, (uint32_t)i, request->backlog);
	if (gate_get(generation, (uint32_t)i) == MOULT_GATE_SHUT)
		take(generation, (uint32_t)i,
		        atomic_load(&generation->page->gate[i].nonblock) != 0);
	answer(client, 0, i, -1);
}

/* The daemon shut it down: its own accepts fail and return, the queue stays for its successor. */
static void handle_shut(int client, struct generation *generation, int i)
{
	if (i >= 0 && (uint32_t)i < the_instance->store.count && generation->holds[i]) {
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

static void handle(int client, const struct moult_request *request, int *fd)
{
	struct generation *generation = asker(client, request);
	if (!generation) {
		answer(client, -EPERM, -1, -1);
		return;
	}
	switch (request->verb) {
	case MOULT_HELLO: answer(client, 0, -1, generation->page_fd); break;
	case MOULT_BIND: handle_bind(client, generation, request, fd); break;
	case MOULT_LISTEN: handle_listen(client, generation, request, fd); break;
	case MOULT_CLOSED: handle_closed(generation, request->listener); break;
	case MOULT_SHUT: handle_shut(client, generation, request->listener); break;
	default: answer(client, -EINVAL, -1, -1);
	}
}

static void readable(void *context)
{
	struct client *client = context;
	struct moult_request request = {0};
	struct iovec part = {&request, sizeof(request)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	CLEANUP(fd_close) int fd = -1;
	ssize_t length = recvmsg(client->watch.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	struct cmsghdr *header = length > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	if (length == sizeof(request) && request.contract == MOULT_CONTRACT)
		handle(client->watch.fd, &request, &fd);
	else if (length >= (ssize_t)sizeof(request.contract)) {
		log_error(
		        "a process asked in contract %u, this launcher speaks %u: libmoult.so and "
		        "moult are of different versions; the process runs as without moult",
		        request.contract, MOULT_CONTRACT);
		answer(client->watch.fd, -EPROTO, -1, -1);
	}
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
