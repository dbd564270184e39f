/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose connections, or listener, move to another process.  Takes the options of
 * legacy_daemon.h; --model is:
 *
 *   pass              accepts, and passes each connection to one of two workers (SCM_RIGHTS)
 *   listener          passes the listener to a worker, which accepts
 *   listener-poll     the same; the worker calls poll() first
 *   listener-epoll    the same; the worker calls epoll_wait() first
 *   listener-close    like listener; the first process then closes its own descriptor
 *   exec              accepts, forks, and executes a program with the connection as 0 and 1
 *   exec-vfork        the same by vfork()
 *   spawn             the same by posix_spawn()
 *   talk              that program: serves the connection
 *   dup               serves a duplicate; a second duplicate stays open as long as the connection
 *   half-client       after the client's shutdown(SHUT_WR), sends lines until the client closes
 *   half-server       shuts down its own side after the first answer; waits for the client's end
 *   orphan            one child per connection; SIGUSR1 ends the main process
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

extern char **environ;

enum { WORKERS = 2 };

static char **words; /* argv */

static void require(bool good, const char *what)
{
	if (!good)
		legacy_die(4, what);
}

static void serve_in_thread(int fd, void *(*serve)(void *))
{
	pthread_t thread;
	require(pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0, "thread");
	pthread_detach(thread);
}

static void *serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

/* ---- descriptors in messages ---- */

static void send_descriptor(int channel, int fd)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec part = {"f", 1};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = sizeof(control.space)};
	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	require(sendmsg(channel, &message, 0) == 1, "sendmsg");
}

/* Returns -1 if the other side has closed. */
static int receive_descriptor(int channel)
{
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	char text;
	struct iovec part = {&text, 1};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = &control,
	        .msg_controllen = sizeof(control.space)};
	ssize_t size;
	int fd;
	while ((size = recvmsg(channel, &message, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		continue;
	if (size <= 0)
		return -1;
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	require(header && header->cmsg_type == SCM_RIGHTS, "recvmsg");
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

/* A worker, forked before anything is bound; returns the master's end. */
static int start_worker(void (*work)(int channel))
{
	int ends[2];
	require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
	pid_t pid = fork();
	require(pid >= 0, "fork");
	if (pid == 0) {
		close(ends[0]);
		work(ends[1]);
		_exit(0);
	}
	close(ends[1]);
	return ends[0];
}

static void work_connections(int channel)
{
	for (int fd; (fd = receive_descriptor(channel)) >= 0;)
		serve_in_thread(fd, serve);
}

static int channels[WORKERS];

static void loop_pass(void)
{
	legacy_waiting();
	for (unsigned turn = 0;;) {
		int fd = legacy_accept(legacy.listeners[0]);
		if (fd < 0)
			continue;
		send_descriptor(channels[turn++ % WORKERS], fd);
		close(fd);
	}
}

static void work_listener(int channel)
{
	int listener = receive_descriptor(channel);
	struct pollfd p = {.fd = listener, .events = POLLIN};
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool polls = strcmp(legacy.style, "listener-poll") == 0;
	bool watches = strcmp(legacy.style, "listener-epoll") == 0;
	require(listener >= 0 && epoll >= 0, "listener");
	require(!watches || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
	for (;;) {
		if ((polls && poll(&p, 1, -1) < 1) ||
		        (watches && epoll_wait(epoll, &event, 1, -1) < 1))
			continue;
		int fd = legacy_accept(listener);
		if (fd >= 0)
			serve_in_thread(fd, serve);
	}
}

/* Passes the listener on, and does nothing else but wait for the worker. */
static void loop_listener(void)
{
	send_descriptor(channels[0], legacy.listeners[0]);
	close(channels[0]);
	if (strcmp(legacy.style, "listener-close") == 0)
		close(legacy.listeners[0]);
	wait(NULL);
}

/* Runs when the sockets exist, but are not yet bound. */
static void start_workers(void)
{
	if (strcmp(legacy.style, "pass") == 0)
		for (int i = 0; i < WORKERS; i++)
			channels[i] = start_worker(work_connections);
	else if (strncmp(legacy.style, "listener", 8) == 0)
		channels[0] = start_worker(work_listener);
}

/* ---- exec ---- */

static const char **talk_arguments(void)
{
	static const char *arguments[] = {NULL, "--tag", NULL, "--model=talk", NULL};
	arguments[0] = words[0];
	arguments[2] = legacy.tag;
	return arguments;
}

static void talk(void)
{
	close(1); /* 0 is the same connection, so that legacy_serve() closes it */
	legacy_serve(0);
}

static void start_talk(int fd)
{
	char **arguments = (char **)talk_arguments();
	pid_t pid = strcmp(legacy.style, "exec") == 0 ? fork() : vfork();
	require(pid >= 0, "fork");
	if (pid > 0)
		return;
	dup2(fd, 0);
	dup2(fd, 1);
	execv(words[0], arguments);
	_exit(9);
}

static void spawn_talk(int fd)
{
	char **arguments = (char **)talk_arguments();
	posix_spawn_file_actions_t actions;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	int error = posix_spawn(NULL, words[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	require(error == 0, "posix_spawn");
}

static void loop_exec(void (*start)(int fd))
{
	signal(SIGCHLD, SIG_IGN);
	fcntl(legacy.listeners[0], F_SETFD, FD_CLOEXEC);
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(legacy.listeners[0]);
		if (fd < 0)
			continue;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		start(fd);
		close(fd);
	}
}

/* ---- one process ---- */

static void *serve_duplicate(void *argument)
{
	int fd = (int)(intptr_t)argument, moved = fcntl(fd, F_DUPFD, 50), kept = dup(moved);
	close(fd);
	legacy_serve(moved);
	close(kept);
	return NULL;
}

static void *serve_half_client(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char text[LEGACY_LINE];
	while (read(fd, text, sizeof(text)) > 0)
		continue;
	int length = snprintf(text, sizeof(text), "GEN %s %d\n", legacy.tag, (int)getpid());
	while (write(fd, text, (size_t)length) == length)
		poll(NULL, 0, 20);
	close(fd);
	return NULL;
}

static void *serve_half_server(void *argument)
{
	int fd = (int)(intptr_t)argument;
	struct legacy_line line = {.length = 0};
	if (legacy_answer(fd, &line) > 0)
		shutdown(fd, SHUT_WR);
	while (legacy_answer(fd, &line) >= 0)
		continue;
	legacy_close(fd, &line);
	return NULL;
}

static void loop_threads(void *(*how)(void *))
{
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(legacy.listeners[0]);
		if (fd >= 0)
			serve_in_thread(fd, how);
	}
}

static void end(int unused)
{
	(void)unused;
	_exit(0);
}

static void loop_orphan(void)
{
	signal(SIGUSR1, end);
	signal(SIGCHLD, SIG_IGN);
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(legacy.listeners[0]);
		if (fd >= 0 && fork() == 0) {
			close(legacy.listeners[0]);
			legacy_serve(fd);
			_exit(0);
		}
		if (fd >= 0)
			close(fd);
	}
}

static bool is_style(const char *name)
{
	return strcmp(legacy.style, name) == 0;
}

int main(int argc, char **argv)
{
	words = argv;
	legacy_unbound = start_workers;
	legacy_start(argc, argv);
	if (is_style("talk")) {
		talk();
		return 0;
	}
	if (is_style("pass"))
		loop_pass();
	if (strncmp(legacy.style, "listener", 8) == 0) {
		loop_listener();
		return 0;
	}
	if (is_style("exec") || is_style("exec-vfork"))
		loop_exec(start_talk);
	if (is_style("spawn"))
		loop_exec(spawn_talk);
	if (is_style("dup"))
		loop_threads(serve_duplicate);
	if (is_style("half-client"))
		loop_threads(serve_half_client);
	if (is_style("half-server"))
		loop_threads(serve_half_server);
	if (is_style("orphan"))
		loop_orphan();
	errno = EINVAL;
	legacy_die(2, "--model");
}
