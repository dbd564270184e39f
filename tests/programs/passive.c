/* SPDX-License-Identifier: MIT */
/*
 * A server that opens a listener for a single client, as in FTP's passive mode.  Takes the options
 * of legacy_daemon.h:
 *
 *   --model=fork       one child per client
 *   --model=threads    one thread per client
 *
 * For the line "passive PORT" (0: any port) the server binds, answers "PORT number", accepts one
 * connection there, sends "GEN <tag> <pid>" on that connection and closes both.  For "worker PORT"
 * it forks a process without the client; this process serves PORT from then on.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

/* Returns a listener on *port, and in *port its port; or -1, and reports the error on `control`. */
static int listen_on(int control, int *port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	        .sin_port = htons((uint16_t)*port)};
	socklen_t length = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	        listen(listener, 1) < 0 ||
	        getsockname(listener, (struct sockaddr *)&address, &length) < 0) {
		dprintf(control, "FAILED %s\n", strerror(errno));
		close(listener);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return listener;
}

static void send_to_listener(int control, int port)
{
	int listener = listen_on(control, &port);
	if (listener < 0)
		return;
	dprintf(control, "PORT %d\n", port);
	int data = accept(listener, NULL, NULL);
	close(listener);
	dprintf(data, "GEN %s %d\n", legacy.tag, (int)getpid());
	close(data);
}

static void start_worker(int control, int port)
{
	if (fork() != 0) {
		dprintf(control, "PORT %d\n", port);
		return;
	}
	close(control);
	int listener = listen_on(STDERR_FILENO, &port);
	for (int fd; (fd = accept(listener, NULL, NULL)) >= 0 || errno == ECONNABORTED;)
		if (fd >= 0) {
			dprintf(fd, "GEN %s %d\n", legacy.tag, (int)getpid());
			close(fd);
		}
	_exit(4);
}

static void *serve(void *argument)
{
	int control = (int)(intptr_t)argument, port;
	char line[64];
	FILE *lines = fdopen(control, "r");
	while (lines && fgets(line, sizeof(line), lines))
		if (sscanf(line, "passive %d", &port) == 1)
			send_to_listener(control, port);
		else if (sscanf(line, "worker %d", &port) == 1)
			start_worker(control, port);
	if (lines)
		(void)fclose(lines);
	return NULL;
}

static void serve_in_thread(int control)
{
	pthread_t thread;
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)control))
		legacy_die(4, "pthread_create");
	pthread_detach(thread);
}

static void serve_in_child(int control)
{
	pid_t pid = fork();
	if (pid < 0)
		legacy_die(4, "fork");
	if (pid == 0) {
		close(legacy.listeners[0]);
		serve((void *)(intptr_t)control);
		_exit(0);
	}
	close(control);
}

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	signal(SIGCHLD, SIG_IGN);
	legacy_waiting();
	for (;;) {
		int control = legacy_accept(legacy.listeners[0]);
		if (control < 0)
			continue;
		if (strcmp(legacy.style, "fork") == 0)
			serve_in_child(control);
		else
			serve_in_thread(control);
	}
}
