/* SPDX-License-Identifier: MIT */
/*
 * A daemon with a crew of threads that all wait for connections in the same way.  Takes the options
 * of legacy_daemon.h; --processes=N is the number of threads (default 8), --model the way to wait:
 *
 *   accept        in a blocking accept()
 *   poll, epoll   until the listener is ready; all threads share one epoll instance
 *   jump          no crew: the main thread waits alone, and a SIGUSR1 handler leaves accept() with
 *                 siglongjmp(), as old programs did to give accept() a timeout
 *
 * At SIGUSR1 the program cancels and replaces half of the crew while these threads wait.  With
 * --output there is no crew: the main thread waits alone and reports on stderr what signals do to
 * its wait.  The handler of SIGUSR1 has SA_RESTART, the handler of SIGUSR2 does not.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { CREW = 8, CREW_MOST = 64 };

static int listener, epoll_fd = -1;

static int next_accept(void)
{
	return legacy_accept(listener);
}

static int next_poll(void)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	return poll(&p, 1, -1) > 0 ? legacy_accept(listener) : -1;
}

static int next_epoll(void)
{
	struct epoll_event event;
	return epoll_wait(epoll_fd, &event, 1, -1) > 0 ? legacy_accept(listener) : -1;
}

static int (*next)(void);

static void say(const char *what)
{
	char text[128];
	int length = snprintf(text, sizeof(text), "%s %s: %s\n", legacy.program, legacy.tag, what);
	(void)!write(STDERR_FILENO, text, (size_t)length);
}

/* ---- a crew ---- */

static struct {
	pthread_t thread;
	_Atomic bool serves;
} crew[CREW_MOST];

_Noreturn static void *serve_for_ever(void *number)
{
	int state, self = (int)(intptr_t)number;
	for (;;) {
		int fd = next();
		/* A thread may be cancelled while it waits, but not while it has a client. */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
		crew[self].serves = true;
		if (fd >= 0)
			legacy_serve(fd);
		crew[self].serves = false;
		pthread_setcancelstate(state, NULL);
	}
}

static void start(int number)
{
	if (pthread_create(&crew[number].thread, NULL, serve_for_ever, (void *)(intptr_t)number))
		legacy_die(4, "pthread_create");
}

static void replace(int number)
{
	void *result;
	pthread_cancel(crew[number].thread);
	if (pthread_join(crew[number].thread, &result) || result != PTHREAD_CANCELED)
		legacy_die(5, "pthread_join");
	start(number);
}

static void loop_crew(void)
{
	int count = legacy.processes ? legacy.processes : CREW, got;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < count; i++)
		start(i);
	legacy_waiting();
	while (sigwait(&set, &got) == 0) {
		for (int i = 0, replaced = 0; i < count && replaced < count / 2; i++)
			if (!crew[i].serves) {
				replace(i);
				replaced++;
			}
		say("cancelled and replaced");
	}
}

/* ---- one thread, and a thread per connection ---- */

static void *serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

static void serve_in_thread(int fd)
{
	pthread_t thread;
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd))
		legacy_die(4, "pthread_create");
	pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static sigjmp_buf again;
static volatile sig_atomic_t waits;

static void jump(int signal)
{
	(void)signal;
	if (waits)
		siglongjmp(again, 1);
}

/* Accepts from a place deeper in the stack. */
static __attribute__((noinline)) int accept_deeply(void)
{
	volatile char room[4096];
	room[0] = 0;
	return legacy_accept(listener) + room[0];
}

/*
 * The test sends the signal when no client connects.  A timer could fire when accept() already has
 * a connection, and the jump would then lose the connection, with or without moult.
 */
_Noreturn static void loop_jump(void)
{
	volatile bool deep = true;
	signal(SIGUSR1, jump);
	legacy_waiting();
	for (;;) {
		if (sigsetjmp(again, 1)) {
			waits = 0;
			deep = !deep;
			say("jumped out of accept");
		}
		waits = 1;
		int fd = deep ? accept_deeply() : legacy_accept(listener);
		waits = 0;
		if (fd >= 0)
			serve_in_thread(fd);
	}
}

/* ---- what signals do to the wait ---- */

static void heard(int signal)
{
	int error = errno;
	say(signal == SIGUSR1 ? "heard, to be restarted" : "heard, to be interrupted");
	errno = error;
}

static void loop_alone(void)
{
	struct sigaction action = {.sa_handler = heard, .sa_flags = SA_RESTART};
	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = 0;
	sigaction(SIGUSR2, &action, NULL);
	legacy_waiting();
	for (;;) {
		errno = 0;
		int fd = next();
		if (fd >= 0)
			serve_in_thread(fd);
		else if (errno == EINTR)
			say("interrupted");
	}
}

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	listener = legacy.listeners[0];
	struct epoll_event event = {.events = EPOLLIN};
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (strcmp(legacy.style, "jump") == 0)
		loop_jump();
	if (strcmp(legacy.style, "accept") == 0)
		next = next_accept;
	else if (strcmp(legacy.style, "poll") == 0)
		next = next_poll;
	else if (strcmp(legacy.style, "epoll") == 0 &&
	         epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) == 0)
		next = next_epoll;
	else
		legacy_die(2, "--model");
	if (legacy.output)
		loop_alone();
	loop_crew();
	legacy_die(4, "sigwait");
}
