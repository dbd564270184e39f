/* SPDX-License-Identifier: MIT */
/*
 * A datagram server that waits until its socket is readable or writable.  Takes the options of
 * legacy_daemon.h; --model is the way to wait:
 *
 *   level edge oneshot        epoll, EPOLLIN | EPOLLOUT
 *   poll                      poll(), POLLIN | POLLOUT
 *
 * The server answers "hello NUMBER" as datagram.c does.  After SIGUSR1 it waits twenty times and
 * writes each result to the --output file, one line each: "in", "out", "inout" or "none".  Before
 * each of these waits EPOLL_CTL_MOD arms the entry again.  Then it waits for questions only, and
 * writes "woken" each time that a wait announces a question which cannot be read.  SIGUSR2 ends the
 * server.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { ROUNDS = 20 };

static volatile sig_atomic_t wanted;
static int epoll_fd = -1, fd;
static FILE *out;

static void want(int signal)
{
	wanted = signal == SIGUSR1 ? 1 : 2;
}

static void arm(int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	if (strcmp(legacy.style, "edge") == 0)
		event.events |= EPOLLET;
	if (strcmp(legacy.style, "oneshot") == 0)
		event.events |= EPOLLONESHOT;
	if (epoll_fd >= 0 && epoll_ctl(epoll_fd, operation, fd, &event) < 0)
		legacy_die(4, "epoll_ctl");
}

/* Returns what is ready; 0: nothing, or a signal came.  poll() and epoll use the same bits. */
static unsigned wait_for(short events, int timeout)
{
	struct epoll_event event = {.events = 0};
	struct pollfd p = {.fd = fd, .events = events};
	int result =
	        epoll_fd >= 0 ? epoll_wait(epoll_fd, &event, 1, timeout) : poll(&p, 1, timeout);
	if (result < 0 && errno != EINTR)
		legacy_die(4, "wait");
	return result <= 0 ? 0 : epoll_fd >= 0 ? event.events : (unsigned)p.revents;
}

/* Answers all questions in the queue.  Returns how many there were. */
static int answer_all(void)
{
	char text[LEGACY_LINE];
	struct sockaddr_storage from;
	for (int count = 0;; count++) {
		socklen_t length = sizeof(from);
		unsigned long long number = 0;
		ssize_t n =
		        recvfrom(fd, text, sizeof(text) - 1, 0, (struct sockaddr *)&from, &length);
		if (n < 0 && errno != EAGAIN)
			legacy_die(4, "recvfrom");
		if (n < 0)
			return count;
		text[n] = '\0';
		(void)sscanf(text, "hello %llu", &number);
		n = snprintf(
		        text, sizeof(text), "GEN %s %d %llu\n", legacy.tag, (int)getpid(), number);
		(void)!sendto(fd, text, (size_t)n, 0, (struct sockaddr *)&from, length);
	}
}

static void tell_rounds(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		arm(EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
		unsigned ready = wait_for(POLLIN | POLLOUT, 5000);
		fprintf(out, "%s%s%s\n", ready & POLLIN ? "in" : "", ready & POLLOUT ? "out" : "",
		        ready ? "" : "none");
	}
	arm(EPOLL_CTL_MOD, EPOLLIN);
	fprintf(out, "done\n");
	fflush(out);
}

int main(int argc, char **argv)
{
	legacy.type = SOCK_DGRAM;
	legacy.nonblocking = true;
	struct sigaction action = {.sa_handler = want};
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGUSR2, &action, NULL);
	legacy_start(argc, argv);
	fd = legacy.listeners[0];
	out = fopen(legacy.output ? legacy.output : "/dev/null", "we");
	if (!out)
		legacy_die(4, legacy.output);
	if (strcmp(legacy.style, "poll") != 0)
		epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	arm(EPOLL_CTL_ADD, EPOLLIN);
	legacy_waiting();
	bool told = false;
	while (wanted != 2) {
		unsigned ready = wait_for(POLLIN, told ? 50 : -1);
		if (ready && answer_all() == 0 && told)
			fprintf(out, "woken\n");
		if (ready && strcmp(legacy.style, "oneshot") == 0)
			arm(EPOLL_CTL_MOD, EPOLLIN);
		if (wanted == 1 && !told) {
			told = true;
			tell_rounds();
		}
	}
	fprintf(out, "end\n");
	fclose(out);
	_exit(0);
}
