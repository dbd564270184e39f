/* SPDX-License-Identifier: MIT */
/*
 * server PORT blocking|epoll|group|hold [RECORD]
 *
 * Accepts connections and closes them.
 *
 *   blocking  one process in accept()
 *   epoll     one process in epoll_wait()
 *   group     epoll in four processes that have one SO_REUSEPORT socket each
 *   hold      epoll in three processes; a connection from 127.0.1.x stays as long as the client
 *
 * With RECORD the server answers "GEN pid" before it closes.  It writes to the file RECORD.pid when it
 * became ready and when it accepted.  scripts/bench reads the file after the server's end.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Nanoseconds of CLOCK_MONOTONIC.  The file is mapped, so SIGKILL loses nothing. */
struct record {
	int64_t ready;          /* just before the first wait for connections */
	int64_t first_accepted; /* just after accept() returned */
	int64_t last_accepted;
	int64_t accepted;
};

static struct record own, *record = &own;
static char answer[32];

static void check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void record_open(const char *prefix)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s.%d", prefix, getpid());
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd, path);
	check(ftruncate(fd, sizeof(*record)), "ftruncate");
	record = mmap(NULL, sizeof(*record), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(record == MAP_FAILED ? -1 : 0, "mmap");
	close(fd);
	snprintf(answer, sizeof(answer), "GEN %d \n", getpid());
}

static void serve(int connection)
{
	if (*answer) {
		record->last_accepted = now();
		if (record->accepted++ == 0)
			record->first_accepted = record->last_accepted;
		/* The client may be gone: that does not matter here. */
		(void)send(connection, answer, strlen(answer), MSG_NOSIGNAL);
	}
	close(connection);
}

static _Noreturn void serve_blocking(int listener)
{
	record->ready = now();
	for (;;) {
		int connection = accept(listener, NULL, NULL);
		if (connection >= 0)
			serve(connection);
	}
}

static _Noreturn void serve_epoll(int listener)
{
	struct epoll_event event = {.events = EPOLLIN};
	int connection, epoll = epoll_create1(EPOLL_CLOEXEC);
	check(epoll, "epoll_create1");
	check(fcntl(listener, F_SETFL, O_RDWR | O_NONBLOCK), "fcntl");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
	record->ready = now();
	for (;;)
		if (epoll_wait(epoll, &event, 1, -1) == 1)
			while ((connection = accept(listener, NULL, NULL)) >= 0)
				serve(connection);
}

/* Returns in the children.  The parent waits here until it is killed. */
static void fork_workers(int count)
{
	for (int i = 0; i < count; i++)
		if (fork() == 0) {
			check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
			return;
		}
	for (;;)
		pause();
}

static bool is_held(const struct sockaddr_in *peer)
{
	return ntohl(peer->sin_addr.s_addr) >> 8 == 0x7f0001;
}

/* A process that has no descriptor left leaves the listener to the other processes. */
static void hold_some(int listener, int epoll, int most)
{
	for (int i = 0; i < 16; i++) {
		struct sockaddr_in peer;
		socklen_t length = sizeof(peer);
		int connection = accept(listener, (struct sockaddr *)&peer, &length);
		if (connection < 0)
			return;
		if (!is_held(&peer)) {
			serve(connection);
			continue;
		}
		struct epoll_event event = {.events = EPOLLIN, .data.fd = connection};
		check(epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &event), "epoll_ctl");
		if (connection > most)
			check(epoll_ctl(epoll, EPOLL_CTL_DEL, listener, &event), "epoll_ctl");
		if (connection > most)
			return;
	}
}

static _Noreturn void serve_and_hold(int listener, const char *prefix)
{
	enum { PROCESSES = 3, SPARE = 64, BATCH = 64 };
	struct rlimit limit;
	check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
	for (int i = 1; i < PROCESSES; i++)
		if (fork() == 0)
			break;
	record_open(prefix);
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[BATCH];
	int epoll = epoll_create1(EPOLL_CLOEXEC), most = (int)limit.rlim_cur - SPARE;
	check(epoll, "epoll_create1");
	check(fcntl(listener, F_SETFL, O_RDWR | O_NONBLOCK), "fcntl");
	check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event), "epoll_ctl");
	record->ready = now();
	for (;;) {
		int count = epoll_wait(epoll, events, BATCH, -1);
		for (int i = 0; i < count; i++)
			if (events[i].data.fd == listener)
				hold_some(listener, epoll, most);
			else
				close(events[i].data.fd); /* clients only end: they send nothing */
	}
}

int main(int argc, char **argv)
{
	int one = 1;
	struct sockaddr_in address = {
	        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (argc < 3) {
		fprintf(stderr, "usage: server PORT blocking|epoll|group|hold [RECORD]\n");
		return 2;
	}
	bool holds = argc > 3 && strcmp(argv[2], "hold") == 0;
	bool group = strcmp(argv[2], "group") == 0;
	if (group)
		fork_workers(4);
	if (argc > 3 && !holds)
		record_open(argv[3]);
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	check(listener, "socket");
	check(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "SO_REUSEADDR");
	if (group)
		check(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)),
		        "SO_REUSEPORT");
	check(bind(listener, (struct sockaddr *)&address, sizeof(address)), "bind");
	check(listen(listener, 4096), "listen");
	if (holds)
		serve_and_hold(listener, argv[3]);
	if (group || strcmp(argv[2], "epoll") == 0)
		serve_epoll(listener);
	serve_blocking(listener);
}
