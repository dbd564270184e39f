/* SPDX-License-Identifier: MIT */
/*
 * A compromised process that makes inspections of itself as expensive as possible.  Makes FILE when
 * everything is ready, and lives until SIGKILL.
 *
 *   hoarder HABIT PROCESSES FILE
 *
 * HABIT, in each of PROCESSES processes:
 *
 *   duplicates  as many descriptors of one socket as the limit allows (20,000 at most)
 *   entries     as many descriptors of an epoll instance that watches 1000 sockets
 *   lock        an epoll instance whose lock is never free: a thread in epoll_wait() writes an
 *               event to a page that never comes (userfaultfd)
 *   chain       each process is the child of the one before it
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DESCRIPTORS = 20000, ENTRIES = 1000 };

static void check(const char *what, long result)
{
	if (result >= 0)
		return;
	perror(what);
	_exit(4);
}

static int socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	check("socket", fd);
	return fd;
}

static int epoll_new(int entries)
{
	int epoll = epoll_create1(0);
	check("epoll_create1", epoll);
	for (int i = 0; i < entries; i++) {
		struct epoll_event event = {.events = EPOLLIN};
		check("epoll_ctl", epoll_ctl(epoll, EPOLL_CTL_ADD, socket_new(), &event));
	}
	return epoll;
}

static void multiply(int fd)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < DESCRIPTORS ? limit.rlim_max : DESCRIPTORS;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(fd) >= 0) {
	}
}

static int faults;
static size_t size; /* of a page */

/* A page that blocks each thread that touches it, for ever. */
static void *page_new(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	check("userfaultfd", faults);
	check("UFFDIO_API", ioctl(faults, UFFDIO_API, &api));
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register range = {
	        .range = {.start = (uintptr_t)page, .len = size},
	        .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	check("UFFDIO_REGISTER", ioctl(faults, UFFDIO_REGISTER, &range));
	return page;
}

static int locked;

static void *lock(void *page)
{
	return (void *)(intptr_t)epoll_wait(locked, page, 1, -1);
}

static void lock_epoll(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	pthread_t thread;
	locked = epoll_create1(0);
	check("epoll_ctl", epoll_ctl(locked, EPOLL_CTL_ADD, eventfd(1, 0), &event));
	pthread_create(&thread, NULL, lock, page_new());
	/* Waits until the thread waits for the page. */
	struct pollfd fault = {.fd = faults, .events = POLLIN};
	check("poll", poll(&fault, 1, -1));
}

static void multiply_processes(int count, int chain)
{
	for (int i = 1; i < count; i++) {
		pid_t child = fork();
		check("fork", child);
		if ((child == 0) != chain) {
			for (;;)
				pause();
		}
	}
}

int main(int argc, char **argv)
{
	const char *habit = argc == 4 ? argv[1] : "";
	int chain = !strcmp(habit, "chain");
	int spare = open("/dev/null", O_RDONLY);
	size = (size_t)sysconf(_SC_PAGESIZE);
	signal(SIGTERM, SIG_IGN);
	if (!strcmp(habit, "duplicates"))
		multiply(socket_new());
	else if (!strcmp(habit, "entries"))
		multiply(epoll_new(ENTRIES));
	else if (!strcmp(habit, "lock"))
		lock_epoll();
	else if (!chain)
		return 2;
	multiply_processes(atoi(argv[2]), chain);
	close(spare); /* frees one number: all others may be used up */
	check(argv[3], open(argv[3], O_CREAT | O_WRONLY, 0644));
	for (;;)
		pause();
}
