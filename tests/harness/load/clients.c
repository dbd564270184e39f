/* SPDX-License-Identifier: MIT */
/* Starts the clients, and handles the events of their sockets and their deadlines. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/harness/load/base.h"
#include "tests/harness/load/clients.h"
#include "tests/harness/load/datagram.h"
#include "tests/harness/load/stream.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static int epoll_fd;

void clients_init(int fd)
{
	epoll_fd = fd;
}

/* Spreads the source addresses over 127.0.0.2 and up: one address has only 28 000 ports. */
static void bind_source(int fd, uint64_t number)
{
	int one = 1;
	struct sockaddr_in source = {.sin_family = AF_INET};
	source.sin_addr.s_addr =
	        htonl(INADDR_LOOPBACK + 1 + (uint32_t)(number % (uint64_t)options.sources));
	/* If either fails, the kernel chooses the source. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	(void)bind(fd, (struct sockaddr *)&source, sizeof(source));
}

static bool is_loopback4(const struct address *address)
{
	struct sockaddr_in in;
	memcpy(&in, &address->name, sizeof(in));
	return in.sin_family == AF_INET && ntohl(in.sin_addr.s_addr) >> 24 == 127;
}

/* Returns 0 or -errno.  A UNIX datagram socket needs a name of its own to be answered. */
static int client_connect(struct connection *c)
{
	const struct sockaddr *name = (const struct sockaddr *)&c->address->name;
	sa_family_t family = AF_UNIX;
	if (is_datagram(c) &&
	        name->sa_family == AF_UNIX) /* not connected: sendto() names the server */
		return c->phase == PHASE_QUEUEING ||
		                       bind(c->fd, (struct sockaddr *)&family, sizeof(family)) == 0
		               ? datagram_ask(c)
		               : -errno;
	if (connect(c->fd, name, c->address->length) < 0 && errno != EINPROGRESS)
		return -errno;
	c->phase = PHASE_CONNECTING;
	return is_datagram(c) ? datagram_ask(c) : 0;
}

/* Connects now.  If the server's queue is full, clients_tick() tries again. */
static void client_try(struct connection *c)
{
	int error = client_connect(c);
	if (error == -EAGAIN && c->address->name.ss_family == AF_UNIX) {
		c->phase = PHASE_QUEUEING;
		return;
	}
	if (error) {
		connection_fail(c, -error);
		return;
	}
	struct epoll_event event = {
	        .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0)
		connection_fail(c, errno);
}

void client_start(bool is_persistent)
{
	struct account *account = is_persistent ? &persistent : &ordinary;
	uint64_t number = account->started++;
	struct connection *c = connection_new(account);
	if (!c) {
		account->lost[LOSS_OVERFLOW]++;
		return;
	}
	c->address = &options.address[number % options.addresses];
	c->number = number;
	c->persistent = is_persistent;
	c->retiring = false;
	c->phase = PHASE_CONNECTING;
	c->answers = 0;
	c->tag = -1;
	c->received = 0;
	c->request = NULL;
	c->fd = socket(
	        c->address->name.ss_family, c->address->type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->started = now();
	c->deadline = c->started + options.timeout * MILLISECOND;
	if (c->fd < 0) {
		connection_fail(c, errno);
		return;
	}
	if (options.sources > 0 && is_loopback4(c->address))
		bind_source(c->fd, number);
	c->started = now();
	client_try(c);
}

void client_step(struct connection *c, uint32_t events)
{
	if (is_datagram(c))
		datagram_step(c);
	else
		stream_step(c, events);
}

void persistent_open(void)
{
	for (long i = 0; i < options.persistent; i++)
		client_start(true);
}

void persistent_close(void)
{
	for (struct connection *c = live.next, *next; c != &live; c = next) {
		next = c->next;
		if (!c->persistent || c->phase == PHASE_CLOSING)
			continue;
		c->retiring = true;
		if (c->phase == PHASE_IDLE)
			stream_close(c);
	}
}

void clients_tick(void)
{
	int64_t at = now();
	for (struct connection *c = live.next, *next; c != &live; c = next) {
		next = c->next;
		if (at >= c->deadline && is_datagram(c) && c->phase == PHASE_CLOSING)
			datagram_end(c);
		else if (at >= c->deadline)
			connection_lose(c, LOSS_TIMED_OUT, 0);
		else if (c->phase == PHASE_QUEUEING)
			client_try(c);
		else if (c->phase == PHASE_IDLE && at >= c->next_request)
			stream_ask_again(c);
	}
}
