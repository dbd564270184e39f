/* SPDX-License-Identifier: MIT */
/*
 * A daemon of old that waits in a blocking accept(), in one of five process models:
 *
 *   single    one process, one connection at a time: answers one line and closes
 *   threads   one process, a thread per connection
 *   pool      one process, 8 threads that all wait in accept()
 *   prefork   4 children that all wait in accept(), each serves one connection at a time
 *   fork      a child per connection; they are reaped by a SIGCHLD handler with SA_RESTART
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { POOL = 8, CHILDREN = 4 };

static int listener;

static void loop_single(void)
{
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(listener);
		if (fd >= 0)
			legacy_serve_one(fd);
	}
}

static void *thread_serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

static void loop_threads(void)
{
	legacy_waiting();
	for (;;) {
		pthread_t thread;
		int fd = legacy_accept(listener);
		if (fd < 0)
			continue;
		if (pthread_create(&thread, NULL, thread_serve, (void *)(intptr_t)fd))
			legacy_die(4, "pthread_create");
		pthread_detach(thread);
	}
}

static void *thread_accept(void *unused)
{
	(void)unused;
	for (;;) {
		int fd = legacy_accept(listener);
		if (fd >= 0)
			legacy_serve(fd);
	}
	return NULL;
}

static void loop_pool(void)
{
	pthread_t thread;
	legacy_waiting();
	for (int i = 1; i < POOL; i++)
		if (pthread_create(&thread, NULL, thread_accept, NULL))
			legacy_die(4, "pthread_create");
	thread_accept(NULL);
}

static void loop_prefork(void)
{
	if (legacy.processes == 0)
		legacy.processes = CHILDREN;
	legacy_prefork();
	legacy_waiting();
	thread_accept(NULL);
}

static void reap(int signal)
{
	int error = errno;
	(void)signal;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		continue;
	errno = error;
}

static void loop_fork(void)
{
	signal(SIGCHLD, reap);
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(listener);
		if (fd < 0)
			continue;
		pid_t pid = fork();
		if (pid < 0)
			legacy_die(4, "fork");
		if (pid == 0) {
			close(listener);
			legacy_serve(fd);
			_exit(0);
		}
		close(fd);
	}
}

static const struct {
	const char *name;
	void (*loop)(void);
} models[] = {
        {"single", loop_single},
        {"threads", loop_threads},
        {"pool", loop_pool},
        {"prefork", loop_prefork},
        {"fork", loop_fork},
};

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	listener = legacy.listeners[0];
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (strcmp(models[i].name, legacy.style) == 0 && legacy.listener_count == 1)
			models[i].loop();
	errno = EINVAL;
	legacy_die(2, "--model");
}
