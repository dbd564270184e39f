/* SPDX-License-Identifier: MIT */
/*
 * A daemon that waits in a blocking accept().  Takes the options of legacy_daemon.h; --model is one
 * of five process models:
 *
 *   single    one process serves one connection at a time: answers one line, then closes
 *   threads   one process, one thread per connection
 *   pool      one process, 8 threads (or --threads=N) that all wait in accept()
 *   prefork   4 children (or --processes=N) that all wait in accept(); each serves one connection
 *             at a time
 *   fork      one child per connection; a SIGCHLD handler with SA_RESTART reaps the children
 *
 * With --reuseport and --processes=N, each of N processes follows the model on a socket of its own.
 * With --reuseport=master and --threads=N, each thread of the pool has a socket of its own.
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

static void *thread_accept(void *own)
{
	int on = own ? *(int *)own : listener;
	for (;;) {
		int fd = legacy_accept(on);
		if (fd >= 0)
			legacy_serve(fd);
	}
	return NULL;
}

static void loop_pool(void)
{
	pthread_t thread;
	int threads = legacy.threads ? legacy.threads : POOL;
	legacy_waiting();
	for (int i = 1; i < threads; i++)
		if (pthread_create(&thread, NULL, thread_accept,
		            &legacy.listeners[i % legacy.listener_count]))
			legacy_die(4, "pthread_create");
	thread_accept(NULL);
}

static void loop_prefork(void)
{
	if (legacy.processes == 0)
		legacy.processes = CHILDREN;
	if (!legacy.reuseport)
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
	if (legacy.reuseport)
		legacy_prefork();
	listener = legacy.listeners[0];
	bool own_per_thread = legacy.reuseport == REUSEPORT_MASTER && legacy.threads > 0;
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
		if (strcmp(models[i].name, legacy.style) == 0 &&
		        (legacy.listener_count == 1 || own_per_thread))
			models[i].loop();
	errno = EINVAL;
	legacy_die(2, "--model");
}
