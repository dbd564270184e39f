/* SPDX-License-Identifier: MIT */
/*
 * A daemon that registers its listener late, as programs with an event loop library do.  Its
 * threads are already asleep in epoll_wait(), on an epoll instance that watches only an eventfd,
 * when the main thread binds, listens and registers the listener.  Takes the options of
 * legacy_daemon.h:
 *
 *   --threads=N                                      number of threads (default 2)
 *   --model=level edge exclusive edge-exclusive      how the listener is registered
 *   --model=HOW-dup                                  the same, by a duplicate of the epoll's
 *                                                    descriptor
 *   --model=HOW-poll                                 the same; then the main thread also polls
 *                                                    another descriptor for 1 ms
 *   --output=FILE                                    the program makes FILE after all that
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { DESCRIPTORS = 1024, THREADS = 16 };

static int epoll_fd,
        registry; /* one epoll: the threads wait by the first, all is added by the second */
static struct legacy_line lines[DESCRIPTORS];
static pthread_t threads[THREADS];
static _Atomic int ids[THREADS];

static void watch(int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.fd = fd};
	if (epoll_ctl(registry, operation, fd, &event) < 0)
		legacy_die(4, "epoll_ctl");
}

static void accept_all(int listener)
{
	int fd;
	while ((fd = legacy_accept(listener)) >= 0) {
		if (fd >= DESCRIPTORS)
			legacy_die(4, "too many connections");
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
		lines[fd] = (struct legacy_line){.length = 0};
		watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT);
	}
}

static bool is_listener(int fd)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (legacy.listeners[i] == fd)
			return true;
	return false;
}

static void *work(void *id)
{
	struct epoll_event event;
	atomic_store((_Atomic int *)id, (int)syscall(SYS_gettid));
	for (;;) {
		int count = epoll_wait(epoll_fd, &event, 1, -1);
		if (count < 0 && errno != EINTR)
			legacy_die(4, "epoll_wait");
		if (count <= 0)
			continue;
		int fd = event.data.fd;
		if (is_listener(fd))
			accept_all(fd);
		else if (legacy_answer(fd, &lines[fd]) >= 0)
			watch(EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLONESHOT);
		else
			legacy_close(fd, &lines[fd]);
	}
	return NULL;
}

/* Does the kernel say that the thread is in epoll_wait()? */
static bool is_asleep(int id)
{
	char path[64], state = '?';
	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", id);
	FILE *file = fopen(path, "re");
	char where[64] = "";
	if (file && !fgets(where, sizeof(where), file))
		where[0] = '\0';
	if (file)
		fclose(file);
	if (strstr(where, "epoll") || strstr(where, "ep_poll"))
		return true;
	/* Some kernels do not tell.  It is enough that it sleeps: it sleeps nowhere else. */
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", id);
	file = fopen(path, "re");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = '?';
	if (file)
		fclose(file);
	return state == 'S';
}

static void start_threads(void)
{
	struct epoll_event wake = {.events = EPOLLIN};
	int count = legacy.threads ? legacy.threads : 2;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	wake.data.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake.data.fd, &wake) < 0)
		legacy_die(4, "epoll");
	registry = epoll_fd;
	if (strstr(legacy.style, "-dup") && (registry = fcntl(epoll_fd, F_DUPFD_CLOEXEC, 3)) < 0)
		legacy_die(4, "F_DUPFD_CLOEXEC");
	for (int i = 0; i < count && i < THREADS; i++) {
		if (pthread_create(&threads[i], NULL, work, (void *)&ids[i]))
			legacy_die(4, "pthread_create");
		while (!atomic_load(&ids[i]) || !is_asleep(ids[i]))
			sched_yield();
	}
}

int main(int argc, char **argv)
{
	legacy_unbound = start_threads;
	legacy.nonblocking = true;
	legacy_start(argc, argv);
	uint32_t events = EPOLLIN;
	if (strstr(legacy.style, "edge"))
		events |= EPOLLET;
	if (strstr(legacy.style, "exclusive"))
		events |= EPOLLEXCLUSIVE;
	for (int i = 0; i < legacy.listener_count; i++)
		watch(EPOLL_CTL_ADD, legacy.listeners[i], events);
	if (strstr(legacy.style, "-poll")) {
		struct pollfd none = {.fd = eventfd(0, EFD_CLOEXEC), .events = POLLIN};
		if (poll(&none, 1, 1) < 0)
			legacy_die(4, "poll");
	}
	if (legacy.output)
		close(open(legacy.output, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	legacy_waiting();
	pthread_join(threads[0], NULL);
}
