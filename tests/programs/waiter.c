/* SPDX-License-Identifier: MIT */
/*
 * A daemon that waits until a descriptor is ready.  Takes the options of legacy_daemon.h; --wait is
 * the way to wait:
 *
 *   poll ppoll select pselect                builds its set of descriptors anew for every wait
 *   epoll epoll-pwait                        level-triggered
 *   epoll-early                              like epoll; registers its listeners before bind()
 *   epoll-edge                               accepts until EAGAIN
 *   epoll-oneshot                            arms the entry again with EPOLL_CTL_MOD
 *   epoll-exclusive epoll-edge-exclusive     EPOLLEXCLUSIVE for the listeners
 *   epoll-nested                             poll() on an epoll instance that watches the listeners
 *   epoll-shared                             one epoll instance for all processes, made before they
 *                                            are forked; each serves one connection at a time
 *
 * With --processes=N each of N children waits on its own.  Without --nonblocking one accept()
 * follows each readiness, and blocks if another process has taken the connection.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

#ifndef EPOLLEXCLUSIVE
#define EPOLLEXCLUSIVE (1u << 28)
#endif

enum { DESCRIPTORS = 4096, BATCH = 64 };

static struct legacy_line *lines[DESCRIPTORS]; /* not NULL: an open connection */
static struct legacy_line line_of[DESCRIPTORS];
static int connections;
static int epoll_fd = -1; /* watches listeners and connections, or listeners only (nested) */
static bool edge, oneshot, exclusive, nested, pwait;

static bool listening[DESCRIPTORS];

static void listeners_mark(bool mark)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (legacy.listeners[i] < DESCRIPTORS)
			listening[legacy.listeners[i]] = mark;
}

/* ---- the epoll instance ---- */

static void epoll_add(int fd, bool listens)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (edge)
		event.events |= EPOLLET;
	if (oneshot)
		event.events |= EPOLLONESHOT;
	if (exclusive && listens)
		event.events |= EPOLLEXCLUSIVE;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		legacy_die(4, "epoll_ctl add");
}

static void epoll_arm_again(int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) < 0)
		legacy_die(4, "epoll_ctl mod");
}

static void epoll_make(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		legacy_die(4, "epoll_create1");
	for (int i = 0; i < legacy.listener_count; i++)
		epoll_add(legacy.listeners[i], true);
}

static int epoll_ready(int *ready, int timeout)
{
	struct epoll_event events[BATCH];
	int count = pwait ? epoll_pwait(epoll_fd, events, BATCH, timeout, NULL)
	                  : epoll_wait(epoll_fd, events, BATCH, timeout);
	if (count < 0 && errno != EINTR)
		legacy_die(4, "epoll_wait");
	for (int i = 0; i < count; i++)
		ready[i] = events[i].data.fd;
	return count;
}

/* ---- connections ---- */

static void connection_open(int listener)
{
	do {
		int fd = legacy_accept(listener);
		if (fd < 0 && (errno == EAGAIN || !edge))
			return;
		if (fd < 0)
			continue;
		if (fd >= DESCRIPTORS) {
			close(fd);
			continue;
		}
		if (!legacy.with_accept4)
			fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		line_of[fd] = (struct legacy_line){.length = 0};
		lines[fd] = &line_of[fd];
		connections++;
		if (epoll_fd >= 0 && !nested)
			epoll_add(fd, false);
	} while (edge);
}

static void connection_answer(int fd)
{
	int answered;
	do
		answered = legacy_answer(fd, lines[fd]);
	while (answered > 0);
	if (answered < 0) {
		legacy_close(fd, lines[fd]);
		lines[fd] = NULL;
		connections--;
	} else if (oneshot) {
		epoll_arm_again(fd);
	}
}

static void handle(int fd)
{
	if (listening[fd]) {
		connection_open(fd);
		if (oneshot)
			epoll_arm_again(fd);
	} else if (lines[fd]) {
		connection_answer(fd);
	}
}

/* ---- waiting: each function fills `ready` and returns the number, or -1: interrupted ---- */

static int wait_epoll(int *ready)
{
	return epoll_ready(ready, -1);
}

static nfds_t poll_set(struct pollfd *set)
{
	nfds_t count = 0;
	if (nested)
		set[count++] = (struct pollfd){.fd = epoll_fd, .events = POLLIN};
	for (int i = 0; i < legacy.listener_count && !nested; i++)
		set[count++] = (struct pollfd){.fd = legacy.listeners[i], .events = POLLIN};
	for (int fd = 0; fd < DESCRIPTORS; fd++)
		if (lines[fd])
			set[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	return count;
}

static int wait_poll(int *ready)
{
	static struct pollfd set[DESCRIPTORS + LEGACY_LISTENERS];
	nfds_t size = poll_set(set);
	int count = 0, result = strcmp(legacy.style, "ppoll") == 0 ? ppoll(set, size, NULL, NULL)
	                                                           : poll(set, size, -1);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "poll");
	for (nfds_t i = 0; result > 0 && i < size && count < BATCH; i++) {
		if (!set[i].revents)
			continue;
		if (set[i].revents & POLLNVAL) {
			errno = EBADF;
			legacy_die(4, "poll");
		}
		if (nested && set[i].fd == epoll_fd)
			count += epoll_ready(ready + count, 0);
		else
			ready[count++] = set[i].fd;
	}
	return result < 0 ? -1 : count;
}

static int wait_select(int *ready)
{
	fd_set set;
	int count = 0, highest = -1;
	FD_ZERO(&set);
	for (int fd = 0; fd < FD_SETSIZE; fd++)
		if (lines[fd] || listening[fd]) {
			FD_SET(fd, &set);
			highest = fd;
		}
	int result = strcmp(legacy.style, "pselect") == 0
	                     ? pselect(highest + 1, &set, NULL, NULL, NULL, NULL)
	                     : select(highest + 1, &set, NULL, NULL, NULL);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "select");
	for (int fd = 0; result > 0 && fd <= highest && count < BATCH; fd++)
		if (FD_ISSET(fd, &set))
			ready[count++] = fd;
	return result < 0 ? -1 : count;
}

/* ---- the loops ---- */

static void rebind(void)
{
	listeners_mark(false);
	legacy_rebind();
	listeners_mark(true);
	for (int i = 0; i < legacy.listener_count && epoll_fd >= 0; i++)
		epoll_add(legacy.listeners[i], true);
}

static void loop(int (*wait_ready)(int *))
{
	int ready[2 * BATCH];
	listeners_mark(true);
	legacy_waiting();
	for (;;) {
		if (legacy_dying && connections == 0)
			exit(1);
		if (legacy_rebind_wanted)
			rebind();
		int count = wait_ready(ready);
		for (int i = 0; i < count; i++)
			handle(ready[i]);
	}
}

static void loop_shared(void)
{
	int ready[BATCH];
	epoll_make();
	legacy_prefork();
	legacy_waiting();
	for (;;) {
		int count = epoll_ready(ready, -1);
		for (int i = 0; i < count; i++) {
			int fd = legacy_accept(ready[i]);
			if (fd >= 0)
				legacy_serve(fd);
		}
	}
}

static bool style(const char *name)
{
	return strcmp(legacy.style, name) == 0;
}

static void register_early(void)
{
	if (style("epoll-early"))
		epoll_make();
}

int main(int argc, char **argv)
{
	legacy_unbound = register_early;
	legacy_start(argc, argv);
	if (style("epoll-shared"))
		loop_shared();
	legacy_prefork();
	if (style("poll") || style("ppoll"))
		loop(wait_poll);
	if (style("select") || style("pselect"))
		loop(wait_select);

	edge = style("epoll-edge") || style("epoll-edge-exclusive");
	oneshot = style("epoll-oneshot");
	exclusive = style("epoll-exclusive") || style("epoll-edge-exclusive");
	nested = style("epoll-nested");
	pwait = style("epoll-pwait");
	if (!edge && !oneshot && !exclusive && !nested && !pwait && !style("epoll") &&
	        !style("epoll-early")) {
		errno = EINVAL;
		legacy_die(2, "--wait");
	}
	if (epoll_fd < 0)
		epoll_make();
	loop(nested ? wait_poll : wait_epoll);
}
