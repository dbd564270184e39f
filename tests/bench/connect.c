/* SPDX-License-Identifier: MIT */
/*
 * connect PORT MILLISECONDS CLIENTS
 *
 * CLIENTS clients at a time connect, wait until the server closes, and start again.  Prints how many
 * connections were served.  Each client waits for the server, so the count is the most that the
 * server can do.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 64 };

static int epoll;
static struct sockaddr_in address;

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static int64_t milliseconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

static void start(void)
{
	/* The connection ends without TIME_WAIT; otherwise all ports are used up in a second. */
	struct linger abort_it = {.l_onoff = 1, .l_linger = 0};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(fd, "socket");
	check(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort_it, sizeof(abort_it)), "SO_LINGER");
	check(connect(fd, (struct sockaddr *)&address, sizeof(address)), "connect");
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: connect PORT MILLISECONDS CLIENTS\n");
		return 2;
	}
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	check(epoll = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	for (int i = 0; i < atoi(argv[3]); i++)
		start();

	long served = 0;
	int64_t end = milliseconds() + atoi(argv[2]);
	while (milliseconds() < end) {
		struct epoll_event events[EVENTS];
		int count = epoll_wait(epoll, events, EVENTS, 1000);
		for (int i = 0; i < count; i++) {
			close(events[i].data.fd);
			served++;
			start();
		}
	}
	printf("%ld\n", served);
	return 0;
}
