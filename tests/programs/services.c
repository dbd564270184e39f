/* SPDX-License-Identifier: MIT */
/*
 * A daemon of two services that talk over a UNIX socket, like the services of a mail server.  Takes
 * the options of legacy_daemon.h, with one --port and one --unix.  The front serves TCP (the first
 * listener).  For each line of a client, the front connects anew to the clerk (UNIX, the second
 * listener) and passes on the clerk's answer.  The front also keeps one connection to the clerk
 * open.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { FRONT, CLERK };

static struct sockaddr_un clerk;
static socklen_t clerk_length = sizeof(clerk);

/* Asks the clerk.  `answer` gets one line: the answer or an error.  Returns the connection. */
static int ask(char *answer, size_t size)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size_t length = 0;
	if (fd >= 0 && connect(fd, (void *)&clerk, clerk_length) == 0 &&
	        write(fd, "hello\n", 6) == 6) {
		ssize_t n;
		while (length < size - 1 && (!length || answer[length - 1] != '\n') &&
		        (n = read(fd, answer + length, size - 1 - length)) > 0)
			length += (size_t)n;
		answer[length] = '\0';
	}
	if (!length)
		snprintf(answer, size, "no clerk: %s\n", strerror(errno));
	return fd;
}

static void *thread_front(void *argument)
{
	int fd = (int)(intptr_t)argument;
	char letter, answer[LEGACY_LINE];
	while (read(fd, &letter, 1) == 1) {
		if (letter != '\n')
			continue;
		close(ask(answer, sizeof(answer)));
		if (write(fd, answer, strlen(answer)) < 0)
			break;
	}
	close(fd);
	return NULL;
}

static void *thread_clerk(void *argument)
{
	legacy_serve((int)(intptr_t)argument);
	return NULL;
}

static void serve(int listener, void *(*thread_serve)(void *))
{
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

int main(int argc, char **argv)
{
	char answer[LEGACY_LINE];
	legacy.processes = 2;
	legacy_start(argc, argv);
	if (legacy.listener_count != 2 ||
	        getsockname(legacy.listeners[CLERK], (void *)&clerk, &clerk_length) < 0)
		legacy_die(2, "--port and --unix");
	legacy_prefork();
	if (legacy_worker == FRONT) {
		(void)ask(answer, sizeof(answer)); /* stays open */
		legacy_waiting();
		serve(legacy.listeners[FRONT], thread_front);
	}
	legacy_waiting();
	serve(legacy.listeners[CLERK], thread_clerk);
}
