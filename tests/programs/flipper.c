/* SPDX-License-Identifier: MIT */
/*
 * A daemon that sets O_NONBLOCK on its listeners at the worst moment.
 *
 *   flipper --tag TAG FIRST COUNT     COUNT listeners, on the ports from FIRST
 *
 * The listeners are blocking when they are bound.  A thread watches the real flag of one listener
 * after the other, with raw system calls.  As soon as the real flag is "blocking", the thread sets
 * O_NONBLOCK.  If the current generation has O_NONBLOCK set, the next one therefore sets the flag
 * in the middle of the switch.  At SIGUSR1 the program reports how many listeners are not
 * O_NONBLOCK.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { MOST = 1024 };
static struct pollfd all[MOST];
static int count;

/* Bypasses the shim, which hooks fcntl() and syscall().  /proc has the flag, too, but is slow. */
static bool really_nonblocking(int fd)
{
	long flags;
#ifdef __x86_64__
	__asm__ volatile("syscall"
	                 : "=a"(flags)
	                 : "a"((long)SYS_fcntl), "D"((long)fd), "S"((long)F_GETFL), "d"(0L)
	                 : "rcx", "r11", "memory");
#else
	char path[64], line[128] = "";
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	flags = 0;
	while (file && fgets(line, sizeof(line), file))
		sscanf(line, "flags: %lo", &flags);
	if (file)
		fclose(file);
#endif
	return flags & O_NONBLOCK;
}

static void *flip(void *unused)
{
	for (int i = 0; i < count; i++) {
		int fd = all[i].fd;
		while (really_nonblocking(fd))
			;
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	}
	return unused;
}

static volatile sig_atomic_t asked;

static void ask(int number)
{
	(void)number;
	asked = 1;
}

static void say(void)
{
	int wrong = 0;
	for (int i = 0; i < count; i++)
		wrong += !really_nonblocking(all[i].fd);
	fprintf(stderr, "flipper %s: %d wrong\n", legacy.tag, wrong);
}

int main(int argc, char **argv)
{
	pthread_t thread;
	int one = 1;
	legacy.program = "flipper";
	if (argc != 5)
		legacy_die(2, "--tag TAG FIRST COUNT");
	legacy.tag = argv[2];
	count = atoi(argv[4]) < MOST ? atoi(argv[4]) : MOST;
	signal(SIGUSR1, ask);
	for (int i = 0; i < count; i++) {
		struct sockaddr_in in = {.sin_family = AF_INET,
		        .sin_port = htons((uint16_t)(atoi(argv[3]) + i)),
		        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (void *)&in, sizeof(in)) < 0 || listen(fd, 50) < 0)
			legacy_die(4, "bind");
		all[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	if (pthread_create(&thread, NULL, flip, NULL))
		legacy_die(4, "pthread_create");
	for (;;) {
		if (asked) {
			asked = 0;
			say();
		}
		if (poll(all, (nfds_t)count, 100) <= 0)
			continue;
		for (int i = 0; i < count; i++)
			if (all[i].revents) {
				int fd = accept(all[i].fd, NULL, NULL);
				if (fd >= 0)
					legacy_serve_one(fd);
			}
	}
}
