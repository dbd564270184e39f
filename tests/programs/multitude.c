/* SPDX-License-Identifier: MIT */
/*
 * A daemon with as many connections as its descriptor limit allows.  Takes the options of
 * legacy_daemon.h.  Each of --processes=N processes has an epoll instance of its own.  A process
 * that is full stops watching the listener and leaves it to the others.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { BATCH = 256, SPARE = 64, AT_ONCE = 16 };

static int listener, epoll;
static rlim_t room;
static struct legacy_line *lines; /* one for each possible descriptor; most are never touched */

static void watch(int operation, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
	if (epoll_ctl(epoll, operation, fd, &event) < 0)
		legacy_die(4, "epoll_ctl");
}

static void connections_open(void)
{
	for (int i = 0; i < AT_ONCE; i++) {
		int fd = legacy_accept(listener);
		if (fd < 0)
			return;
		lines[fd] = (struct legacy_line){.length = 0};
		watch(EPOLL_CTL_ADD, fd);
		if ((rlim_t)fd >= room - SPARE) {
			watch(EPOLL_CTL_DEL, listener);
			return;
		}
	}
}

static void room_make(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	room = limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	lines = calloc(room, sizeof(*lines));
	if (!lines)
		legacy_die(4, "calloc");
}

int main(int argc, char **argv)
{
	struct epoll_event events[BATCH];
	legacy_start(argc, argv);
	listener = legacy.listeners[0];
	legacy_prefork();
	room_make();
	epoll = epoll_create1(EPOLL_CLOEXEC);
	if (epoll < 0)
		legacy_die(4, "epoll");
	watch(EPOLL_CTL_ADD, listener);
	legacy_waiting();
	for (;;) {
		int count = epoll_wait(epoll, events, BATCH, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == listener) {
				connections_open();
			} else if (legacy_answer(fd, &lines[fd]) < 0) {
				legacy_close(fd, &lines[fd]);
			}
		}
	}
}
