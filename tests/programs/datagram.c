/* SPDX-License-Identifier: MIT */
/*
 * A daemon that answers datagrams, over UDP (--port) or a UNIX socket (--unix).  It answers "hello
 * NUMBER ADDRESS" once, with "GEN <tag> <pid> NUMBER".  Takes the options of legacy_daemon.h:
 *
 *   --receive=recvfrom recvmsg recvmmsg      these calls return the sender's address
 *             recv read readv                these do not: the answer goes to the ADDRESS
 *   --wait=block                             waits in the receiving call
 *          receive-timeout                   the same, but returns every 100 ms (SO_RCVTIMEO)
 *          poll select epoll                 receives one datagram (recvmmsg: some) per readiness
 *          epoll-edge                        receives until EAGAIN
 *   --processes=N --threads=N                share a socket; with --reuseport each has its own
 *   --tcp                                    serves TCP in the same loop, on the same port numbers
 *   --delay-answer=MS                        answers MS later and receives meanwhile, like a
 *                                            forwarder that waits for an answer itself
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { DESCRIPTORS = 512, WATCHED = 256, BATCH = 8, PENDING = 4096 };

struct datagram {
	struct sockaddr_storage peer;
	socklen_t peer_length;
	size_t length;
	char text[LEGACY_LINE];
};

struct answer {
	int64_t due; /* ms */
	int fd;
	unsigned long long number;
	struct sockaddr_storage peer;
	socklen_t peer_length;
};

/* What one thread has. */
struct server {
	int watched[WATCHED]; /* sockets, TCP listeners and connections */
	int count;
	int epoll_fd;
	struct answer *pending; /* a ring buffer: all answers have the same delay */
	unsigned oldest, next;
};

static struct legacy_line *lines[DESCRIPTORS]; /* not NULL: an open TCP connection */
static struct legacy_line line_of[DESCRIPTORS];
static bool accepts[DESCRIPTORS];

static bool style(const char *name)
{
	return strcmp(legacy.style, name) == 0;
}

static bool receives_by(const char *name)
{
	return strcmp(legacy.receive, name) == 0;
}

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* ---- questions and answers ---- */

/* Parses 127.0.0.1:80, [::1]:80 or @name. */
static bool address_read(const char *text, struct sockaddr_storage *ret, socklen_t *ret_length)
{
	char host[INET6_ADDRSTRLEN];
	int port;
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in4 = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	if (text[0] == '@' && strlen(text) < sizeof(un.sun_path)) {
		memcpy(un.sun_path + 1, text + 1, strlen(text) - 1);
		memcpy(ret, &un, sizeof(un));
		*ret_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));
		return true;
	}
	if (sscanf(text, "[%45[^]]]:%d", host, &port) == 2 &&
	        inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		in6.sin6_port = htons((uint16_t)port);
		memcpy(ret, &in6, sizeof(in6));
		*ret_length = sizeof(in6);
		return true;
	}
	if (sscanf(text, "%45[^:]:%d", host, &port) == 2 &&
	        inet_pton(AF_INET, host, &in4.sin_addr) == 1) {
		in4.sin_port = htons((uint16_t)port);
		memcpy(ret, &in4, sizeof(in4));
		*ret_length = sizeof(in4);
		return true;
	}
	return false;
}

static void answer_send(const struct answer *a)
{
	char text[LEGACY_LINE];
	int length = snprintf(
	        text, sizeof(text), "GEN %s %d %llu\n", legacy.tag, (int)getpid(), a->number);
	/* An error is ignored: the client has gone without waiting for the answer. */
	(void)sendto(a->fd, text, (size_t)length, MSG_NOSIGNAL, (const struct sockaddr *)&a->peer,
	        a->peer_length);
}

static void datagram_handle(struct server *s, int fd, struct datagram *d)
{
	char address[LEGACY_LINE];
	struct answer a = {.fd = fd, .peer = d->peer, .peer_length = d->peer_length};
	d->text[d->length < sizeof(d->text) ? d->length : sizeof(d->text) - 1] = '\0';
	if (sscanf(d->text, "hello %llu %255s", &a.number, address) != 2 ||
	        (a.peer_length == 0 && !address_read(address, &a.peer, &a.peer_length))) {
		fprintf(stderr, "%s %s: not a question: %s\n", legacy.program, legacy.tag, d->text);
		return;
	}
	if (legacy.delay == 0) {
		answer_send(&a);
		return;
	}
	if (s->next - s->oldest == PENDING) {
		errno = ENOBUFS;
		legacy_die(4, "too many questions");
	}
	a.due = now_ms() + legacy.delay;
	s->pending[s->next++ % PENDING] = a;
}

static void answers_send(struct server *s)
{
	for (int64_t at = now_ms(); s->oldest != s->next; s->oldest++) {
		const struct answer *a = &s->pending[s->oldest % PENDING];
		if (a->due > at)
			return;
		answer_send(a);
	}
}

/* Milliseconds until the next answer is due; -1: no answer is pending. */
static int answers_wait(const struct server *s)
{
	if (s->oldest == s->next)
		return -1;
	int64_t left = s->pending[s->oldest % PENDING].due - now_ms();
	return left > 0 ? (int)left : 0;
}

/* ---- receiving: each function returns the number of datagrams, or -1 ---- */

static int receive_some(int fd, struct datagram *d)
{
	struct mmsghdr messages[BATCH] = {0};
	struct iovec parts[BATCH];
	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){d[i].text, sizeof(d[i].text) - 1};
		messages[i].msg_hdr = (struct msghdr){.msg_name = &d[i].peer,
		        .msg_namelen = sizeof(d[i].peer),
		        .msg_iov = &parts[i],
		        .msg_iovlen = 1};
	}
	int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
	for (int i = 0; i < count; i++) {
		d[i].length = messages[i].msg_len;
		d[i].peer_length = messages[i].msg_hdr.msg_namelen;
	}
	return count;
}

static int receive(int fd, struct datagram *d)
{
	ssize_t n;
	struct iovec part = {d->text, sizeof(d->text) - 1};
	struct msghdr message = {.msg_name = &d->peer,
	        .msg_namelen = sizeof(d->peer),
	        .msg_iov = &part,
	        .msg_iovlen = 1};
	if (receives_by("recvmmsg"))
		return receive_some(fd, d);
	d->peer_length = 0;
	if (receives_by("recvmsg")) {
		n = recvmsg(fd, &message, 0);
		d->peer_length = message.msg_namelen;
	} else if (receives_by("recv")) {
		n = recv(fd, d->text, part.iov_len, 0);
	} else if (receives_by("read")) {
		n = read(fd, d->text, part.iov_len);
	} else if (receives_by("readv")) {
		n = readv(fd, &part, 1);
	} else {
		d->peer_length = sizeof(d->peer);
		n = recvfrom(
		        fd, d->text, part.iov_len, 0, (struct sockaddr *)&d->peer, &d->peer_length);
	}
	if (n < 0)
		return -1;
	d->length = (size_t)n;
	return 1;
}

static void socket_read(struct server *s, int fd)
{
	struct datagram batch[BATCH];
	int count;
	do {
		count = receive(fd, batch);
		if (count < 0 && errno != EINTR && errno != EAGAIN)
			legacy_die(4, legacy.receive);
		for (int i = 0; i < count; i++)
			datagram_handle(s, fd, &batch[i]);
	} while (style("epoll-edge") && (count > 0 || errno == EINTR));
}

/* ---- TCP connections (--tcp) ---- */

static void watch(struct server *s, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (s->count == WATCHED || fd >= DESCRIPTORS) {
		errno = EMFILE;
		legacy_die(4, "too many connections");
	}
	s->watched[s->count++] = fd;
	if (style("epoll-edge"))
		event.events |= EPOLLET;
	if (s->epoll_fd >= 0 && epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		legacy_die(4, "epoll_ctl");
}

static void connection_accept(struct server *s, int listener)
{
	do {
		int fd = legacy_accept(listener);
		if (fd < 0 && errno == EAGAIN)
			return;
		if (fd < 0)
			continue;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		watch(s, fd);
		line_of[fd] = (struct legacy_line){.length = 0};
		lines[fd] = &line_of[fd];
	} while (style("epoll-edge"));
}

static void connection_read(struct server *s, int fd)
{
	int answered;
	do
		answered = legacy_answer(fd, lines[fd]);
	while (answered > 0);
	if (answered == 0)
		return;
	legacy_close(fd, lines[fd]);
	lines[fd] = NULL;
	for (int i = 0; i < s->count; i++)
		if (s->watched[i] == fd) {
			s->watched[i] = s->watched[--s->count];
			return;
		}
}

/* ---- waiting: each function fills `ready` and returns the number of ready descriptors ---- */

static int wait_poll(struct server *s, int *ready, int timeout)
{
	struct pollfd set[WATCHED];
	int count = 0;
	for (int i = 0; i < s->count; i++)
		set[i] = (struct pollfd){.fd = s->watched[i], .events = POLLIN};
	int result = poll(set, (nfds_t)s->count, timeout);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "poll");
	for (int i = 0; i < s->count && result > 0; i++)
		if (set[i].revents)
			ready[count++] = set[i].fd;
	return count;
}

static int wait_select(struct server *s, int *ready, int timeout)
{
	fd_set set;
	int count = 0, highest = -1;
	struct timeval t = {timeout / 1000, timeout % 1000 * 1000};
	FD_ZERO(&set);
	for (int i = 0; i < s->count; i++) {
		FD_SET(s->watched[i], &set);
		highest = s->watched[i] > highest ? s->watched[i] : highest;
	}
	int result = select(highest + 1, &set, NULL, NULL, timeout < 0 ? NULL : &t);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "select");
	for (int i = 0; i < s->count && result > 0; i++)
		if (FD_ISSET(s->watched[i], &set))
			ready[count++] = s->watched[i];
	return count;
}

static int wait_epoll(struct server *s, int *ready, int timeout)
{
	struct epoll_event events[WATCHED];
	int result = epoll_wait(s->epoll_fd, events, WATCHED, timeout);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "epoll_wait");
	for (int i = 0; i < result; i++)
		ready[i] = events[i].data.fd;
	return result;
}

/* The receiving call itself waits. */
static int wait_not(struct server *s, int *ready, int timeout)
{
	(void)timeout;
	ready[0] = s->watched[0];
	return 1;
}

static const struct {
	const char *name;
	int (*wait)(struct server *, int *, int);
} waits[] = {
        {"block", wait_not},
        {"receive-timeout", wait_not},
        {"poll", wait_poll},
        {"select", wait_select},
        {"epoll", wait_epoll},
        {"epoll-edge", wait_epoll},
};

/* ---- the loop of one thread ---- */

static _Noreturn void serve(const int *sockets, int count)
{
	struct server server = {.epoll_fd = -1}, *s = &server;
	size_t way = 0;
	while (way < COUNT(waits) && !style(waits[way].name))
		way++;
	if (way == COUNT(waits) || (waits[way].wait == wait_not && count != 1)) {
		errno = EINVAL;
		legacy_die(2, "--wait");
	}
	if (waits[way].wait == wait_epoll)
		s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->pending = calloc(PENDING, sizeof(*s->pending));
	for (int i = 0; i < count; i++) {
		struct timeval t = {.tv_usec = 100000};
		if (style("receive-timeout"))
			setsockopt(sockets[i], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
		watch(s, sockets[i]);
		accepts[sockets[i]] = legacy_is_stream(sockets[i]);
	}
	for (;;) {
		int ready[WATCHED];
		int found = waits[way].wait(s, ready, answers_wait(s));
		for (int i = 0; i < found; i++)
			if (lines[ready[i]])
				connection_read(s, ready[i]);
			else if (accepts[ready[i]])
				connection_accept(s, ready[i]);
			else
				socket_read(s, ready[i]);
		answers_send(s);
	}
}

static void *thread_serve(void *number)
{
	int each = legacy.listener_count, first = 0;
	if (legacy.reuseport == REUSEPORT_MASTER && legacy.processes == 0) {
		each /= legacy.threads;
		first = (int)(intptr_t)number * each;
	}
	serve(legacy.listeners + first, each);
}

int main(int argc, char **argv)
{
	legacy.type = SOCK_DGRAM;
	legacy_start(argc, argv);
	legacy_prefork();
	legacy_waiting();
	for (int i = 1; i < legacy.threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, thread_serve, (void *)(intptr_t)i))
			legacy_die(4, "pthread_create");
	}
	if (legacy.threads > 0)
		thread_serve(NULL);
	serve(legacy.listeners, legacy.listener_count);
}
