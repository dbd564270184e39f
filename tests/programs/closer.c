/* SPDX-License-Identifier: MIT */
/*
 * A daemon that closes, moves or waits for its descriptors with every call there is.  Takes the
 * options of legacy_daemon.h, with one or two listeners.  NAME in --model names the call (table
 * `ways` below):
 *
 *   wait-NAME    waits with the call NAME; accepts and closes without libc's wrappers
 *   move-NAME    moves its listener to another number by NAME after each connection
 *   close-NAME   closes its second listener by NAME after the first connection from that listener
 *   epoll-NAME   closes or moves its epoll instance by NAME after the first connection
 *
 * One thread serves each connection.  An event for a closed listener, and 20,000 wake-ups in a row
 * without a connection, end the program with status 6.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/closer.h"
#include "tests/programs/closer_moves.h"
#include "tests/programs/closer_waits.h"
#include "tests/programs/legacy.h"

enum { HIGH = 1500 };

static bool raw; /* accept and close with system calls */

static void *thread_serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

/* A wake-up without a connection is allowed while a gate closes; an endless series is not. */
static int worth_it(int fd)
{
	static int in_vain;
	in_vain = fd >= 0 ? 0 : in_vain + 1;
	if (in_vain > 20000)
		legacy_die(6, "woken in vain");
	return fd;
}

static int accept_one(int listener)
{
	if (!raw)
		return worth_it(legacy_accept(listener));
	int fd = (int)syscall(SYS_accept4, listener, NULL, NULL, 0);
	require(fd >= 0 || errno == EAGAIN || errno == EINTR || errno == ECONNABORTED, "accept4");
	if (worth_it(fd) < 0)
		return fd;
	int other = (int)syscall(SYS_dup, fd);
	require(other >= 0 && syscall(SYS_close, fd) == 0, "SYS_close");
	return other;
}

static void serve(int fd)
{
	pthread_t thread;
	require(pthread_create(&thread, NULL, thread_serve, (void *)(intptr_t)fd) == 0, "thread");
	pthread_detach(thread);
}

static void unwatch(int fd)
{
	require(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) == 0, "epoll_ctl del");
}

static void epoll_make(void)
{
	epoll = epoll_create1(EPOLL_CLOEXEC);
	require(epoll >= 0, "epoll_create1");
	for (int i = 0; i < legacy.listener_count; i++)
		if (legacy.listeners[i] >= 0)
			watch(legacy.listeners[i]);
}

static const struct way {
	const char *name;
	int (*wait)(void);
	int (*act)(int fd);
} ways[] = {
        {"wait-epoll_wait", by_epoll_wait, NULL},
        {"wait-epoll_pwait", by_epoll_pwait, NULL},
        {"wait-sys-epoll_pwait2", by_sys_epoll_pwait2, NULL},
        {"wait-epoll_pwait2", by_epoll_pwait2, NULL},
        {"wait-poll", by_poll, NULL},
        {"wait-ppoll", by_ppoll, NULL},
        {"wait-poll_chk", by_poll_chk, NULL},
        {"wait-ppoll_chk", by_ppoll_chk, NULL},
        {"wait-select", by_select, NULL},
        {"wait-pselect6", by_pselect6, NULL},
        {"wait-high-select", by_high_select, NULL},
        {"wait-high-pselect", by_high_pselect, NULL},
        {"wait-high-sys-select", by_select, NULL},
        {"move-dup", NULL, by_dup},
        {"move-dup2", NULL, by_dup2},
        {"move-dup3", NULL, by_dup3},
        {"move-dupfd", NULL, by_dupfd},
        {"move-dupfd-cloexec", NULL, by_dupfd_cloexec},
        {"move-sys-dup", NULL, by_sys_dup},
        {"move-sys-dup2", NULL, by_sys_dup2},
        {"move-sys-dup3", NULL, by_sys_dup3},
        {"move-sys-fcntl", NULL, by_sys_fcntl},
        {"close-close", NULL, close},
        {"close-fclose", NULL, by_fclose},
        {"close-freopen", NULL, by_freopen},
        {"close-range", NULL, by_close_range},
        {"close-unshare", NULL, by_unshare},
        {"close-closefrom", NULL, by_closefrom},
        {"close-sys-close", NULL, by_sys_close},
        {"close-sys-close_range", NULL, by_sys_close_range},
        {"close-dup2", NULL, by_dup2_over},
        {"close-dup3", NULL, by_dup3_over},
        {"close-sys-dup2", NULL, by_sys_dup2_over},
        {"close-sys-dup3", NULL, by_sys_dup3_over},
        {"close-shutdown", NULL, by_shutdown},
        {"epoll-close", NULL, close},
        {"epoll-range", NULL, by_close_range},
        {"epoll-sys-close", NULL, by_sys_close},
        {"epoll-over", NULL, by_second_of_the_same},
        {"epoll-dup", NULL, by_dup},
        {"epoll-dup2", NULL, by_dup2},
        {"epoll-dupfd", NULL, by_dupfd_cloexec},
};

static bool is_kind(const char *kind)
{
	return strncmp(legacy.style, kind, strlen(kind)) == 0;
}

/* O_NONBLOCK as set by system calls is what libc's functions report, and the other way round. */
static void set_flags_past_the_wrappers(void)
{
	int on = 1, off = 0;
	require(syscall(SYS_ioctl, first, FIONBIO, &off) == 0, "FIONBIO");
	require(!(fcntl(first, F_GETFL) & O_NONBLOCK), "FIONBIO off");
	require(syscall(SYS_ioctl, first, FIONBIO, &on) == 0, "FIONBIO");
	require(fcntl(first, F_GETFL) & O_NONBLOCK, "FIONBIO on");
	require(syscall(SYS_fcntl, first, F_SETFL, O_RDWR) == 0, "F_SETFL");
	require(!(fcntl(first, F_GETFL) & O_NONBLOCK), "F_SETFL");
	require(fcntl(first, F_SETFL, O_RDWR | O_NONBLOCK) == 0, "F_SETFL");
	require(syscall(SYS_fcntl, first, F_GETFL) & O_NONBLOCK, "F_GETFL");
}

static void loop_wait(const struct way *way)
{
	raw = true;
	set_flags_past_the_wrappers();
	for (;;) {
		polled = (struct pollfd){.fd = first, .events = POLLIN};
		int result = way->wait();
		require(result >= 0 || errno == EINTR, "wait");
		int fd = result > 0 ? accept_one(first) : -1;
		if (fd >= 0)
			serve(fd);
	}
}

/* A connection has come from `listener`. */
static void act(const struct way *way, int *listener)
{
	static bool done;
	if (is_kind("move-")) {
		unwatch(first);
		first = way->act(first);
		require(first >= 0, "move");
		watch(first);
	} else if (is_kind("close-") && listener == &second && !done) {
		int fd = second;
		second = -1;
		require(way->act(fd) >= 0, "close");
		done = true;
	} else if (is_kind("epoll-") && !done) {
		int result = way->act(epoll);
		require(result >= 0, "close of the epoll");
		if (result > 0)
			epoll = result; /* moved */
		else
			epoll_make();
		done = true;
	}
}

static void loop_epoll(const struct way *way)
{
	struct epoll_event event;
	for (;;) {
		int result = epoll_wait(epoll, &event, 1, -1);
		require(result >= 0 || errno == EINTR, "epoll_wait");
		int *listener = event.data.fd == first ? &first : &second;
		if (result > 0 && *listener != event.data.fd) {
			errno = EBADF;
			legacy_die(6, "an event for a listener that is closed");
		}
		int fd = result > 0 ? accept_one(*listener) : -1;
		if (fd < 0)
			continue;
		act(way, listener);
		serve(fd);
	}
}

int main(int argc, char **argv)
{
	const struct way *way = NULL;
	legacy_start(argc, argv);
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (strcmp(ways[i].name, legacy.style) == 0)
			way = &ways[i];
	require(way && legacy.listener_count >= 1 && legacy.listener_count <= 2, "--model");
	struct rlimit limit = {8192, 8192};
	if (is_kind("wait-high-")) {
		require(setrlimit(RLIMIT_NOFILE, &limit) == 0, "setrlimit");
		first = closing(first, fcntl(first, F_DUPFD, HIGH));
	}
	if (is_kind("close-closefrom"))
		second = closing(second, fcntl(second, F_DUPFD, 800));
	if (!way->wait || strstr(way->name, "epoll"))
		epoll_make();
	legacy_waiting();
	if (way->wait)
		loop_wait(way);
	loop_epoll(way);
}
