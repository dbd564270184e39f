/* SPDX-License-Identifier: MIT */
/* Part of mirror.c.  Results of every call that waits, with and without a client in the queue. */
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"
#include "tests/programs/mirror_seen.h"

extern int __poll_chk(struct pollfd *, nfds_t, int, size_t); /* what -D_FORTIFY_SOURCE calls */

/* Records "what = result, errno", and how much time was left. */
static void waited(long result, const struct timespec *left, const char *what)
{
	seen((int)result, "%s", what);
	if (left)
		fprintf(out, "  left: %s\n",
		        left->tv_sec >= 5000            ? "all"
		        : left->tv_sec || left->tv_nsec ? "some"
		                                        : "none");
}

/* A listener, and an epoll instance that watches it, for every call that waits. */
struct waiting {
	int fd, epoll;
	sigset_t none;
	struct timespec *limit; /* for the calls that return the remaining time */
};

static const struct timespec no_such_time = {0, -1};

static void wait_with_epoll(const struct waiting *w)
{
	struct epoll_event events[4];
	waited(syscall(SYS_epoll_wait, w->epoll, events, 4, 0), NULL, "SYS_epoll_wait");
	waited(syscall(SYS_epoll_pwait, w->epoll, events, 4, 0, NULL, 8), NULL, "SYS_epoll_pwait");
	waited(syscall(SYS_epoll_pwait, w->epoll, events, 4, 0, &w->none, 7), NULL,
	        "SYS_epoll_pwait, a wrong mask");
	waited(syscall(SYS_epoll_pwait2, w->epoll, events, 4, w->limit, &w->none, 8), w->limit,
	        "SYS_epoll_pwait2");
	waited(syscall(SYS_epoll_pwait2, w->epoll, events, 4, &no_such_time, NULL, 8), NULL,
	        "SYS_epoll_pwait2, no such time");
	waited(epoll_pwait2(w->epoll, events, 4, w->limit, &w->none), w->limit, "epoll_pwait2");
}

static void wait_with_poll(const struct waiting *w)
{
	struct pollfd p = {.fd = w->fd, .events = POLLIN};
	struct timespec t = *w->limit;
	waited(syscall(SYS_poll, &p, 1, 0), NULL, "SYS_poll");
	waited(syscall(SYS_ppoll, &p, 1, w->limit, &w->none, 8), w->limit, "SYS_ppoll");
	waited(syscall(SYS_ppoll, &p, 1, w->limit, &w->none, 7), w->limit,
	        "SYS_ppoll, a wrong mask");
	waited(syscall(SYS_ppoll, &p, 1, &no_such_time, NULL, 8), NULL, "SYS_ppoll, no such time");
	if (!with_launcher)
		waited(syscall(SYS_ppoll, nowhere, 1, &t, NULL, 8), NULL, "SYS_ppoll of nowhere");
	waited(ppoll(&p, 1, w->limit, &w->none), w->limit, "ppoll");
	waited(__poll_chk(&p, 1, 0, sizeof(p)), NULL, "__poll_chk");
}

static void wait_with_select(const struct waiting *w, time_t seconds)
{
	const struct {
		const sigset_t *mask;
		size_t size;
	} good = {&w->none, 8}, bad = {&w->none, 7};
	struct timeval v = {seconds, 1000}, negative = {-1, 0};
	fd_set set;
	FD_ZERO(&set);
	FD_SET(w->fd, &set);
	waited(syscall(SYS_select, w->fd + 1, &set, NULL, NULL, &v),
	        &(struct timespec){v.tv_sec, v.tv_usec}, "SYS_select");
	FD_SET(w->fd, &set);
	waited(syscall(SYS_select, w->fd + 1, &set, NULL, NULL, &negative), NULL,
	        "SYS_select, no such time");
	waited(syscall(SYS_pselect6, w->fd + 1, &set, NULL, NULL, w->limit, &good), w->limit,
	        "SYS_pselect6");
	FD_SET(w->fd, &set);
	waited(syscall(SYS_pselect6, w->fd + 1, &set, NULL, NULL, w->limit, &bad), w->limit,
	        "SYS_pselect6, a wrong mask");
	FD_SET(w->fd, &set);
	waited(syscall(SYS_pselect6, w->fd + 1, &set, NULL, NULL, w->limit, nowhere), w->limit,
	        "SYS_pselect6, no mask");
}

static void try_waits(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct waiting w = {.fd = fd, .epoll = epoll_create1(0)};
	sigemptyset(&w.none);
	bind(fd, (struct sockaddr *)&any, sizeof(any));
	listen(fd, 5);
	struct epoll_event event = {.events = EPOLLIN};
	seen((int)syscall(SYS_epoll_ctl, w.epoll, EPOLL_CTL_ADD, fd, &event), "SYS_epoll_ctl");
	for (int i = 0; i < 2; i++) { /* without a client in the queue, then with one */
		struct timespec none_left = {0, 0}, long_time = {4000, 1000000};
		w.limit = i ? &long_time : &none_left;
		if (i) {
			struct pollfd p = {.fd = fd, .events = POLLIN};
			close(connect_to(address_of(fd)));
			poll(&p, 1, -1);
		}
		wait_with_epoll(&w);
		wait_with_poll(&w);
		wait_with_select(&w, i ? 4000 : 0);
	}
	int connection =
	        seen((int)syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC, 0, 0), "SYS_accept4");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen((int)syscall(SYS_shutdown, connection, SHUT_WR), "SYS_shutdown");
	close(connection);
	close(w.epoll);
	close(fd);
}

/* A set larger than the header's fd_set, as in programs with many descriptors. */
static void try_large_select(void)
{
	static unsigned long words[64];
	fd_set *set = (void *)words;
	int ends[2];
	if (pipe(ends) < 0 || dup2(ends[0], 3000) < 0 || write(ends[1], "x", 1) != 1)
		legacy_die(4, "pipe");
	words[3000 / 64] |= 1ul << 3000 % 64;
	struct timeval none = {0, 0};
	seen(select(3001, set, NULL, NULL, &none), "select of 3000");
	seen((words[3000 / 64] >> 3000 % 64 & 1) == 1, "is it set");
	seen((int)syscall(SYS_select, 3001, set, NULL, NULL, &none), "SYS_select of 3000");
	close(ends[0]);
	close(ends[1]);
	close(3000);
}
