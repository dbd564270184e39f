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

#include "helper/closing.h"
#include "helper/crowd.h"
#include "helper/discard.h"
#include "helper/handover.h"
#include "helper/log.h"
#include "helper/poke.h"
#include "helper/superseded.h"
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

static void forget(struct client *client)
{
	loop_unwatch(&client->watch);
	fd_close(&client->watch.fd);
}

static void send_answer(int client, struct answer answer)
{
	int fd = answer.fd;
	struct iovec part = {&answer.reply, sizeof(answer.reply)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))] = {0};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fd >= 0) {
		message.msg_control = space;
		message.msg_controllen = sizeof(space);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		*(int *)(void *)CMSG_DATA(header) = fd;
	}
	/* It may have been killed meanwhile. */
	(void)sendmsg(client, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* ---- requests ---- */

static struct answer say(int error, int listener, int fd)
{
	return (struct answer){{.error = error, .listener = listener}, fd};
}

/* The daemon shut it down: its own accepts fail and return, the queue stays for its successor. */
static struct answer handle_shut(struct generation *generation, int i)
{
	if (instance_is_holder(the_instance, generation, i)) {
		struct listener *listener = instance_listener(the_instance, (uint32_t)i);
		bool open = gate_get(generation, (uint32_t)i) == MOULT_GATE_OPEN;
		gate_set(generation, (uint32_t)i, MOULT_GATE_SHUT);
		generation_tell(generation);
		unsigned blocked = generation_inflight(generation);
		for (unsigned n = 0; open && n < blocked && n < 64; n++)
			poke_send(listener, the_instance->newest);
		crowd_begin(the_instance); /* looks after the pokes */
	}
	return say(0, i, -1);
}

/* 0: none of our pid namespace, which nothing descends from. */
static pid_t peer_of(int client)
{
	struct ucred peer = {.pid = 0};
	socklen_t length = sizeof(peer);
	(void)getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &length);
	return peer.pid;
}

static struct generation *asker(int client, const struct moult_request *request)
{
	pid_t peer = peer_of(client);
	for (struct generation *g = the_instance->newest; g; g = g->older)
		if (g->id == request->generation &&
		        !memcmp(g->token, request->token, MOULT_TOKEN_DIGITS))
			return tree_has(g->keeper, peer) ? g : NULL;
	return NULL;
}

/* Options set before its turn; once it accepts, they are the shared socket's. */
static struct answer template_of(const struct generation *generation, int i)
{
	bool waits = instance_is_holder(the_instance, generation, i) &&
	             gate_get(generation, (uint32_t)i) == MOULT_GATE_WARMING;
	return say(0, i, waits ? instance_listener(the_instance, (uint32_t)i)->template : -1);
}

/* `fds`: what came along, -1 for none; what is still there afterwards is closed. */
static struct answer handle(int client, const struct moult_request *request, int *fds)
{
	struct generation *generation = asker(client, request);
	struct asker peer;
	int i = request->listener;
	if (!generation || asker_of_peer(client, generation->id, &peer) < 0)
		return say(-EPERM, -1, -1);
	switch (request->verb) {
	case MOULT_HELLO: return say(0, -1, generation->page_fd);
	case MOULT_BIND: return handover_bind(generation, &peer, request, fds);
	case MOULT_LISTEN: return handover_listen(generation, request, fds);
	case MOULT_YIELD: return handover_yield(generation, &peer, request, fds);
	case MOULT_MOVED: return handover_moved(&peer, request, fds);
	case MOULT_REPLACE: return handover_replace(generation, &peer, request, fds);
	case MOULT_UNLINKED: return handover_unlinked(generation, &peer, request, fds);
	case MOULT_REMOVED:
		return say(superseded_has_file(the_instance, generation, &peer, request, fds[0])
		                   ? 0
		                   : -ENOENT,
		        -1, -1);
	case MOULT_CALLING: return handover_calling(generation, &peer, request, fds);
	case MOULT_TEMPLATE: return template_of(generation, i);
	case MOULT_SHUT: return handle_shut(generation, i);
	case MOULT_CONNECTED: handover_connected(generation, i); break;
	case MOULT_CLOSED:
		if (instance_is_holder(the_instance, generation, i))
			closing_begin(generation, (uint32_t)i);
		break;
	default: return say(-EINVAL, -1, -1);
	}
	return say(0, i, -1); /* to nobody, after CLOSED */
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
		send_answer(client->watch.fd, handle(client->watch.fd, &request, fds));
	else if (length >= (ssize_t)sizeof(request.contract)) {
		log_error(
		        "a process asked in contract %u, this launcher speaks %u: libmoult.so and "
		        "moult are of different versions; the process runs as without moult",
		        request.contract, MOULT_CONTRACT);
		send_answer(client->watch.fd, say(-EPROTO, -1, -1));
	}
	fd_discard(&fds[0]);
	fd_discard(&fds[1]);
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
	handover_init(instance);
	closing_init(instance);
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
