/* SPDX-License-Identifier: MIT */
/* Part of mirror.c.  Results of socket and descriptor calls in usual and unusual uses. */
#pragma once

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#include "tests/programs/mirror_seen.h"

extern char **environ;

static void try_listener(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = seen(socket(AF_INET, SOCK_STREAM, 0), "socket");
	seen(accept(fd, NULL, NULL), "accept on a fresh socket");
	seen(bind(fd, (struct sockaddr *)&any, 3), "bind to a short address");
	seen(bind(fd, nowhere, 0), "bind to nothing");
	seen(bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind");
	struct sockaddr_in in = address_of(fd);
	seen(bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind again");
	seen(accept(fd, NULL, NULL), "accept before listen");
	seen(listen(fd, 5), "listen");
	seen(listen(fd, 2), "listen again");
	int other = socket(AF_INET, SOCK_STREAM, 0);
	seen(bind(other, (struct sockaddr *)&in, sizeof(in)), "bind where another listens");
	close(other);

	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK), "F_SETFL");
	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(accept(fd, NULL, NULL), "accept, nobody there");
	int off = 0, on = 1;
	seen(ioctl(fd, FIONBIO, &off), "FIONBIO off");
	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(ioctl(fd, FIONBIO, &on), "FIONBIO on");
	seen(ioctl(fd, FIONBIO, nowhere), "FIONBIO of nothing");
	seen(accept4(fd, NULL, NULL, 12345), "accept4 with wrong flags");

	int client = connect_to(in);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	seen(poll(&p, 1, 1000), "poll");
	fprintf(out, "  revents %d\n", p.revents);
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	int connection = seen(accept(fd, (struct sockaddr *)&peer, &length), "accept");
	fprintf(out, "  length %u family %d\n", length, peer.ss_family);
	seen(fcntl(connection, F_GETFL), "F_GETFL of the connection");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen(close(connection), "close");
	seen(close(connection), "close again");
	close(client);
	client = connect_to(in);
	seen(accept4(fd, (struct sockaddr *)&peer, NULL, 0), "accept with a bad address");
	close(client);
	client = connect_to(in);
	connection = seen(accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept4");
	seen(fcntl(connection, F_GETFL), "F_GETFL of the connection");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen(dup2(connection, fd + 50), "dup2 of the connection");
	close(fd + 50);
	close(connection);
	close(client);

	seen(shutdown(fd, SHUT_RD), "shutdown of the listener");
	seen(accept(fd, NULL, NULL), "accept after it");
	close(fd);
}

static void try_epoll(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0}, events[4];
	int epoll = seen(epoll_create(0), "epoll_create(0)");
	epoll = seen(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "add before bind");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "add again");
	bind(fd, (struct sockaddr *)&any, sizeof(any));
	listen(fd, 5);
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait, nobody there");
	int client = connect_to(address_of(fd));
	seen(epoll_wait(epoll, events, 4, 1000), "epoll_wait");
	fprintf(out, "  events %x data %llx\n", events[0].events,
	        (unsigned long long)events[0].data.u64);
	seen(epoll_wait(epoll, events, 0, 0), "epoll_wait for none");
	seen(epoll_wait(epoll, nowhere, 4, 0), "epoll_wait to nowhere");
	seen(epoll_pwait(epoll, events, 4, 0, NULL), "epoll_pwait");
	event.events = EPOLLIN | EPOLLET | EPOLLONESHOT;
	seen(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event), "modify");
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait");
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait after the one shot");
	seen(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), "delete");
	seen(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), "delete again");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), "add itself");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event), "add -1");
	seen(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &event), "add to no epoll");
	seen(epoll_wait(fd, events, 4, 0), "epoll_wait on no epoll");
	seen(epoll_wait(-1, events, 4, 0), "epoll_wait on -1");
	close(seen(accept(fd, NULL, NULL), "accept"));
	close(client);
	close(fd);
	close(epoll);
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait on a closed one");
}

static void try_descriptors(void)
{
	seen(close(-1), "close(-1)");
	seen(close(19999), "close of none");
	seen(dup(-1), "dup(-1)");
	seen(dup2(19999, 5), "dup2 of none");
	seen(dup2(19999, 19999), "dup2 of none to itself");
	seen(dup2(0, 0), "dup2(0, 0)");
	seen(dup3(0, 0, 0), "dup3(0, 0)");
	seen(dup3(0, 200, 12345), "dup3 with wrong flags");
	seen(dup3(0, 200, O_CLOEXEC), "dup3");
	seen(fcntl(200, F_GETFD), "F_GETFD of it");
	seen(fcntl(0, F_DUPFD, 300), "F_DUPFD");
	seen(fcntl(0, F_DUPFD_CLOEXEC, 300), "F_DUPFD_CLOEXEC");
	seen(fcntl(300, 9999), "fcntl of no sense");
	seen(close_range(200, 400, 0), "close_range");
	seen(close_range(400, 200, 0), "close_range backwards");
	seen(fcntl(300, F_GETFD), "F_GETFD of a closed one");
	seen((int)syscall(SYS_close, -1), "syscall(SYS_close, -1)");
	seen((int)syscall(SYS_getpid) == getpid(), "syscall(SYS_getpid)");
	seen((int)syscall(-1), "syscall(-1)");
	seen(listen(0, 1), "listen on no socket");
	seen(bind(0, nowhere, 0), "bind of no socket");
	seen(shutdown(0, SHUT_RD), "shutdown of no socket");
	seen(accept(19999, NULL, NULL), "accept on none");
	fd_set set;
	struct timeval none = {0, 0};
	FD_ZERO(&set);
	FD_SET(199, &set);
	seen(select(200, &set, NULL, NULL, &none), "select of none");
	struct pollfd p = {.fd = 199, .events = POLLIN};
	seen(poll(&p, 1, 0), "poll of none");
	fprintf(out, "  revents %d\n", p.revents);
	p.fd = -1;
	seen(poll(&p, 1, 0), "poll of -1");
	if (!with_launcher) /* POSIX promises no EFAULT; the library reads the array itself */
		seen(poll(nowhere, 1, 0), "poll of nowhere");
	/* This number shows whether the library has taken a low descriptor. */
	seen(dup(0), "the lowest free descriptor");
	close_range((unsigned)fileno(out) + 1, 100, 0);
}

/* ---- closes inside libc, and system calls without libc's wrappers ---- */

static void try_streams(void)
{
	FILE *stream = fdopen(dup(0), "r");
	int fd = fileno(stream);
	seen(fclose(stream), "fclose");
	seen(fcntl(fd, F_GETFD), "F_GETFD after fclose");
	stream = fdopen(dup(0), "r");
	fd = fileno(stream);
	seen(close(fd), "close under a stream");
	seen(fclose(stream), "fclose after it");
	stream = fopen("/dev/null", "re");
	fd = fileno(stream);
	stream = freopen("/dev/zero", "re", stream);
	seen(stream ? fileno(stream) - fd : -1, "freopen keeps the number");
	seen(fcntl(fd, F_GETFD), "F_GETFD after freopen");
	stream = freopen("/nowhere/at/all", "r", stream);
	seen(stream ? 0 : -1, "freopen of nothing");
	seen(fcntl(fd, F_GETFD), "F_GETFD after it");
	char text[8];
	stream = fmemopen(text, sizeof(text), "w");
	seen(fclose(stream), "fclose of no descriptor");
}

static void try_ranges(void)
{
	dup2(0, 250);
	seen(close_range(240, 260, CLOSE_RANGE_CLOEXEC), "close_range, CLOEXEC");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	seen(close_range(240, 260, 8), "close_range with a wrong flag");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	seen(close_range(240, 260, CLOSE_RANGE_UNSHARE), "close_range, UNSHARE");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	dup2(0, 19000);
	closefrom(18000);
	seen(fcntl(19000, F_GETFD), "F_GETFD after closefrom");
}

static void try_system_calls(void)
{
	seen((int)syscall(SYS_dup, -1), "SYS_dup of -1");
	int fd = seen((int)syscall(SYS_dup, 0), "SYS_dup");
	seen((int)syscall(SYS_dup2, fd, 210), "SYS_dup2");
	seen((int)syscall(SYS_dup2, 210, 210), "SYS_dup2 to itself");
	seen((int)syscall(SYS_dup2, 19999, 19999), "SYS_dup2 of none to itself");
	seen((int)syscall(SYS_dup3, 210, 210, 0), "SYS_dup3 to itself");
	seen((int)syscall(SYS_fcntl, 210, F_DUPFD_CLOEXEC, 215), "SYS_fcntl, F_DUPFD_CLOEXEC");
	seen((int)syscall(SYS_fcntl, 215, F_GETFD), "SYS_fcntl, F_GETFD");
	seen((int)syscall(SYS_fcntl, 215, F_GETFL), "SYS_fcntl, F_GETFL");
	seen((int)syscall(SYS_fcntl, 215, 9999), "SYS_fcntl of no sense");
	int on = 1;
	seen((int)syscall(SYS_ioctl, 215, FIONBIO, &on), "SYS_ioctl, FIONBIO");
	seen((int)syscall(SYS_close_range, 200, 220, 0), "SYS_close_range");
	seen((int)syscall(SYS_close, 210), "SYS_close after it");
	close(fd);
}

static void try_file_actions(void)
{
	posix_spawn_file_actions_t actions;
	seen(posix_spawn_file_actions_init(&actions), "file actions");
	seen(posix_spawn_file_actions_addclose(&actions, -1), "close of -1");
	seen(posix_spawn_file_actions_adddup2(&actions, -1, 5), "dup2 of -1");
	seen(posix_spawn_file_actions_addopen(&actions, -1, "/", O_RDONLY, 0), "open as -1");
	seen(posix_spawn_file_actions_addclosefrom_np(&actions, -1), "closefrom -1");
	seen(posix_spawn_file_actions_adddup2(&actions, 19999, 5), "dup2 of none");
	pid_t pid;
	char *const arguments[] = {"true", NULL};
	seen(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ), "posix_spawn");
	seen(posix_spawn_file_actions_destroy(&actions), "destroy");
}
