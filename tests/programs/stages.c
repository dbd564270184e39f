/* SPDX-License-Identifier: MIT */
/*
 * A daemon that opens its listeners one by one.  Each listener has a thread of its own.
 *
 *   stages [OPTIONS] KIND:WHERE[,bind=FILE][,serve=FILE][,fatal]...
 *
 * KIND is tcp or udp (WHERE is a port) or unix (WHERE is a path).  The thread binds when the bind
 * FILE exists, and waits for connections when the serve FILE exists; without these words, at once.
 * With "fatal" the daemon exits with status 1 after the first connection to this listener.
 *
 *   --tag TAG       name of the generation, which is in every answer
 *   --block         accepts without a poll() before
 *   --notify=FILE   sends READY=1 to NOTIFY_SOCKET when FILE exists
 *   --signal        reports SIGUSR1 on stderr
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

struct step {
	char *where, *bind, *serve;
	bool datagrams, local, fatal;
	int fd;
};

enum { STEPS = 16 };
static struct step steps[STEPS + 1];
static int count;
static bool blocks;

static void wait_for(const char *file)
{
	while (file && access(file, F_OK) < 0)
		usleep(2000);
}

static int listener_new(const struct step *step)
{
	int one = 1, type = step->datagrams ? SOCK_DGRAM : SOCK_STREAM;
	int fd = socket(step->local ? AF_UNIX : AF_INET, type, 0);
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (step->local) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", step->where);
		unlink(un.sun_path);
	} else
		in.sin_port = htons((uint16_t)atoi(step->where));
	if (!step->local && !step->datagrams)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, step->local ? (void *)&un : (void *)&in,
	                      step->local ? sizeof(un) : sizeof(in)) < 0)
		legacy_die(4, step->where);
	if (!step->datagrams && listen(fd, 1000) < 0)
		legacy_die(4, "listen");
	return fd;
}

static void *serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

static void answer_one(int fd)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	char text[LEGACY_LINE];
	unsigned long long number = 0;
	ssize_t received = recvfrom(fd, text, sizeof(text) - 1, 0, (void *)&from, &length);
	if (received < 0)
		return;
	text[received] = '\0';
	(void)sscanf(text, "hello %llu", &number);
	int size = snprintf(text, sizeof(text), "GEN %s %d %llu\n", legacy.tag, getpid(), number);
	if (sendto(fd, text, (size_t)size, 0, (void *)&from, length) < 0)
		legacy_die(4, "sendto");
}

static void accept_one(const struct step *step, int listener)
{
	pthread_t thread;
	int fd = legacy_accept(listener);
	if (fd < 0)
		return;
	if (step->fatal)
		_exit(1);
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd))
		legacy_die(4, "pthread_create");
	pthread_detach(thread);
}

static void *run(void *argument)
{
	const struct step *step = argument;
	wait_for(step->bind);
	struct pollfd one = {.fd = step->bind ? listener_new(step) : step->fd, .events = POLLIN};
	wait_for(step->serve);
	for (;;) {
		if (!blocks && poll(&one, 1, -1) < 0)
			continue;
		if (step->datagrams)
			answer_one(one.fd);
		else
			accept_one(step, one.fd);
	}
	return NULL;
}

/* Binds listeners that wait for no file here, so that they are bound in the order of the words. */
static void add(char *text)
{
	struct step *step = &steps[count++];
	char *kind = strsep(&text, ":"), *word;
	if (count > STEPS || !text)
		legacy_die(2, "KIND:WHERE");
	step->datagrams = !strcmp(kind, "udp");
	step->local = !strcmp(kind, "unix");
	step->where = strsep(&text, ",");
	while ((word = strsep(&text, ",")))
		if (!strncmp(word, "bind=", 5))
			step->bind = word + 5;
		else if (!strncmp(word, "serve=", 6))
			step->serve = word + 6;
		else
			step->fatal = true;
	if (!step->bind)
		step->fd = listener_new(step);
}

static void say_ready(const char *file)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	const char *name = getenv("NOTIFY_SOCKET");
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (!name)
		return;
	wait_for(file);
	size_t length = strlen(name);
	memcpy(to.sun_path, name, length);
	if (to.sun_path[0] == '@')
		to.sun_path[0] = '\0';
	if (sendto(fd, "READY=1", 7, 0, (void *)&to,
	            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		legacy_die(4, "NOTIFY_SOCKET");
	close(fd);
}

static char told[LEGACY_LINE]; /* what the handler of SIGUSR1 writes; it cannot use printf() */

static void say(int number)
{
	(void)number;
	if (write(STDERR_FILENO, told, strlen(told)) < 0)
		return;
}

int main(int argc, char **argv)
{
	const char *file = NULL;
	pthread_t thread;
	legacy.program = "stages";
	signal(SIGPIPE, SIG_IGN);
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], "--tag") && i + 1 < argc)
			legacy.tag = argv[++i];
		else if (!strcmp(argv[i], "--block"))
			blocks = true;
		else if (!strcmp(argv[i], "--signal"))
			signal(SIGUSR1, say);
		else if (!strncmp(argv[i], "--notify=", 9))
			file = argv[i] + 9;
		else
			add(argv[i]);
	snprintf(told, sizeof(told), "stages %s: signal %d\n", legacy.tag, SIGUSR1);
	for (int i = 0; i < count; i++)
		if (pthread_create(&thread, NULL, run, &steps[i]))
			legacy_die(4, "pthread_create");
	if (file)
		say_ready(file);
	for (;;)
		pause();
}
