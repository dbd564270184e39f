/* SPDX-License-Identifier: MIT */
/*
 * Measures the calls that the shim interposes.  Prints one line "name nanoseconds" for each call: the
 * best of many batches.  scripts/bench runs this program with and without the shim.
 *
 * The listener is in every set that a call waits for, as in a server, so that the shim has work to
 * do.  The descriptors that are ready are eventfds.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	BATCHES = 40,
	CALLS = 2000,
	READY_MAX = 64,
	DATAGRAMS = 100,
	CONNECTIONS = 500, /* fits into the queue with any kernel's somaxconn */
};

static int listener;
static int ready[READY_MAX]; /* eventfds that are always readable */
static struct sockaddr_in address;

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void print(const char *name, int64_t best, int calls)
{
	printf("%s\t%.1f\n", name, (double)best / calls);
}

/* Runs batches of `call`.  The result of each call must be at least `least`. */
#define MEASURE(name, least, call)                                      \
	do {                                                            \
		int64_t best = INT64_MAX;                               \
		for (int batch = 0; batch < BATCHES; batch++) {         \
			int64_t begun = now();                          \
			for (int i = 0; i < CALLS; i++)                 \
				check((call) < (least) ? -1 : 0, name); \
			int64_t took = now() - begun;                   \
			best = took < best ? took : best;               \
		}                                                       \
		print(name, best, CALLS);                               \
	} while (0)

static void measure_epoll(const char *name, int count)
{
	struct epoll_event event = {.events = EPOLLIN}, events[READY_MAX];
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	check(epoll, "epoll_create1");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
	for (int i = 0; i < count; i++)
		check(epoll_ctl(epoll, EPOLL_CTL_ADD, ready[i], &event), "epoll_ctl");
	MEASURE(name, count, epoll_wait(epoll, events, READY_MAX, -1));
	close(epoll);
}

static void measure_poll(const char *name, int count)
{
	struct pollfd fds[READY_MAX] = {{.fd = listener, .events = POLLIN}};
	for (int i = 1; i < count; i++)
		fds[i] = (struct pollfd){.fd = ready[i], .events = POLLIN};
	MEASURE(name, count - 1, poll(fds, (nfds_t)count, -1));
}

static int select_two(void)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(listener, &set);
	FD_SET(ready[0], &set);
	return select((listener > ready[0] ? listener : ready[0]) + 1, &set, NULL, NULL, NULL);
}

/* accept4() while connections wait in the queue, and close() of the result. */
static void measure_accept(void)
{
	int64_t best_accept = INT64_MAX, best_close = INT64_MAX;
	for (int batch = 0; batch < BATCHES; batch++) {
		int clients[CONNECTIONS], connections[CONNECTIONS];
		/* The connection ends without TIME_WAIT: its port is needed again. */
		struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
		for (int i = 0; i < CONNECTIONS; i++) {
			clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
			check(clients[i], "socket");
			check(connect(clients[i], (struct sockaddr *)&address, sizeof(address)),
			        "connect");
		}
		int64_t begun = now();
		for (int i = 0; i < CONNECTIONS; i++)
			connections[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
		int64_t accepted = now();
		for (int i = 0; i < CONNECTIONS; i++)
			check(close(connections[i]), "accept4 or close");
		int64_t closed = now();
		for (int i = 0; i < CONNECTIONS; i++) {
			check(setsockopt(clients[i], SOL_SOCKET, SO_LINGER, &abort_it,
			              sizeof(abort_it)),
			        "SO_LINGER");
			close(clients[i]);
		}
		if (accepted - begun < best_accept)
			best_accept = accepted - begun;
		if (closed - accepted < best_close)
			best_close = closed - accepted;
	}
	print("accept4, connections waiting", best_accept, CONNECTIONS);
	print("close of a connection", best_close, CONNECTIONS);
}

/* recvfrom() of datagrams that wait already, on a socket that is a service. */
static void measure_datagrams(int fd)
{
	int64_t best = INT64_MAX;
	char byte = 0;
	for (int batch = 0; batch < BATCHES; batch++) {
		struct sockaddr_in from;
		for (int i = 0; i < DATAGRAMS; i++)
			check(sendto(fd, &byte, 1, 0, (struct sockaddr *)&address,
			              sizeof(address)) == 1
			                ? 0
			                : -1,
			        "sendto");
		int64_t begun = now();
		for (int i = 0; i < DATAGRAMS; i++) {
			socklen_t length = sizeof(from);
			check(recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &length) == 1
			                ? 0
			                : -1,
			        "recvfrom");
		}
		int64_t took = now() - begun;
		best = took < best ? took : best;
	}
	print("recvfrom, UDP datagrams waiting", best, DATAGRAMS);
}

int main(void)
{
	char byte;
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	struct rlimit limit;
	socklen_t length = sizeof(address);

	check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");

	for (int i = 0; i < READY_MAX; i++)
		check(ready[i] = eventfd(1, EFD_CLOEXEC), "eventfd");
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	check(listener, "socket");
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, CONNECTIONS), "listen");
	check(getsockname(listener, (struct sockaddr *)&address, &length), "getsockname");

	/* Before the first wait: a UDP socket that is bound after the generation serves is no service. */
	int service = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(service, "socket");
	check(bind(service, (struct sockaddr *)&address, sizeof(address)), "bind");

	MEASURE("getppid (floor)", 0, getppid());
	measure_epoll("epoll_wait, 1 ready", 1);
	measure_epoll("epoll_wait, 32 ready", 32);
	measure_poll("poll, 2 descriptors", 2);
	measure_poll("poll, 64 descriptors", 64);
	MEASURE("select, 2 descriptors", 1, select_two());
	MEASURE("dup and close", 0, close(dup(ready[0])));
	MEASURE("read, 1 byte of /dev/zero", 1, read(zero, &byte, 1));
	measure_datagrams(service);
	measure_accept();
	return 0;
}
