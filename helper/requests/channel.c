/* SPDX-License-Identifier: MIT */
/* The channel: requests come in through the broker, and answers go out. */
#include "helper/requests/channel.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/base/log.h"
#include "helper/base/message.h"
#include "helper/process/discard.h"
#include "helper/requests/broker_process.h"
#include "helper/requests/dispatch.h"

static struct roster *roster;
static struct watch server = {.fd = -1}; /* the broker accepts; the launcher only watches */

/* ---- to and from the broker ---- */

static void send_answer(const struct answer *answer)
{
	size_t count = (size_t)(answer->fds[0] >= 0) + (answer->fds[1] >= 0);
	int result = message_send(broker_process_link(), &answer->reply, sizeof(answer->reply),
	        answer->fds, count, MSG_DONTWAIT);
	/* EPIPE, ECONNRESET: the broker has died, as channel_reaped() is about to learn. */
	if (result == 0 || result == -EPIPE || result == -ECONNRESET)
		return;
	/* The broker would wait for this answer for ever, and all other requests with it. */
	log_error("a daemon's request could not be answered: %s; the daemon goes on as without "
	          "moult",
	        strerror(-result));
	broker_process_abandon();
}

/* Sets the descriptors of the request, which come in the order in which the broker lists them. */
static void assign(struct request *request, struct received *received, const int *fds, size_t count)
{
	size_t next = 0;
	bool socket = request->socket_fd >= 0 && request->is_known &&
	              (request->verb == MOULT_BIND ||
	                      (request->verb == MOULT_LISTEN && request->listener < 0));
	*received = (struct received){-1};
	if (socket && next < count)
		received->socket = fds[next++];
	request->socket_fd = received->socket;
	request->directory_fd = request->directory_fd >= 0 && next < count ? fds[next++] : -1;
	request->other_fd = request->other_fd >= 0 && next < count ? fds[next++] : -1;
}

/* Closes descriptors that the request does not need.  Our broker sends none. */
static void discard_all_but(const struct request *request, const struct received *received,
        const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = fds[i];
		if (fd != received->socket && fd != request->directory_fd &&
		        fd != request->other_fd)
			fd_discard(&fd);
	}
}

static void broker_speaks(void *context)
{
	struct instance *instance = context;
	struct request request;
	struct received received;
	struct iovec part = {&request, sizeof(request)};
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(3 * sizeof(int))];
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	ssize_t length = recvmsg(broker_process_link(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (length < 0) /* out of memory: the message, or the end of the link, stays readable */
		return;
	if (length != sizeof(request)) { /* 0: the broker has ended; else it is broken */
		broker_process_abandon();
		return;
	}
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	size_t count = 0;
	int fds[4]; /* CMSG_SPACE() rounds up: there may be four */
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
		count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(header), count * sizeof(int));
	}
	assign(&request, &received, fds, count);
	discard_all_but(&request, &received, fds, count);
	if (message.msg_flags & MSG_CTRUNC)
		log_error(
		        "a descriptor sent by the daemon could not be taken: the launcher's limit "
		        "of open files (ulimit -Hn) is too low");
	struct answer answer = dispatch_request(instance, &request, &received);
	send_answer(&answer);
	fd_discard(&received.socket);
	fd_discard(&request.directory_fd);
	fd_discard(&request.other_fd);
}

/* ---- the roster ---- */

struct roster_entry *channel_enroll(const struct generation *generation)
{
	for (size_t i = 0; i < ROSTER_MOST; i++) {
		struct roster_entry *entry = &roster->entries[i];
		if (atomic_load(&entry->generation))
			continue;
		memcpy(entry->token, generation->token, sizeof(entry->token));
		atomic_store(&entry->keeper, 0);
		atomic_store(&entry->generation, generation->id);
		return entry;
	}
	return NULL;
}

void channel_strike_off(const struct generation *generation)
{
	for (size_t i = 0; i < ROSTER_MOST; i++)
		if (atomic_load(&roster->entries[i].generation) == generation->id)
			atomic_store(&roster->entries[i].generation, 0);
}

/* ---- start and end ---- */

static void connected(void *context)
{
	(void)context;
	broker_process_expect_work();
}

static int open_server(struct instance *instance)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	unsigned char random[8];
	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return -errno;
	int length = snprintf(instance->channel_address, sizeof(instance->channel_address),
	        "moult-%d-%02x%02x%02x%02x%02x%02x%02x%02x", getpid(), random[0], random[1],
	        random[2], random[3], random[4], random[5], random[6], random[7]);
	memcpy(address.sun_path + 1, instance->channel_address, (size_t)length);
	server.fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
	if (server.fd < 0 || bind(server.fd, (struct sockaddr *)&address, size) < 0 ||
	        listen(server.fd, 512) < 0) /* the shim checks that this process called it */
		return -errno;
	return 0;
}

int channel_start(struct instance *instance)
{
	roster = mmap(
	        NULL, sizeof(*roster), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (roster == MAP_FAILED)
		return -errno;
	int result = open_server(instance);
	if (result < 0)
		return result;
	server.ready = connected;
	server.once = true;
	result = loop_watch(&server);
	if (result == 0)
		broker_process_start(instance, roster, server.fd, broker_speaks);
	return result;
}

/*
 * The socket stays open until the launcher exits.  Any process may have sent sockets there, which
 * are closed with it, and closing one may wait (helper/requests/castoff.h).
 */
void channel_stop(void)
{
	loop_unwatch(&server);
	server.fd = -1;
	broker_process_stop();
}

bool channel_reaped(pid_t pid)
{
	return broker_process_reaped(pid);
}
