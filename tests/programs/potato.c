/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose connection moves between two processes all the time, as in servers that give an
 * idle connection to the process with the least work.  Takes the options of legacy_daemon.h.  A
 * child accepts one connection and serves it.  Every 3 ms the parent, which has 900 other
 * descriptors, takes the connection over (pidfd_getfd), and the child takes it back 2 ms later.  At
 * each instant at least one of the two holds the connection.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { DESCRIPTORS = 900 };

/* Whose turn it is; the other process waits. */
enum { NOBODY_YET, CHILD, PARENT_TAKES, PARENT, CHILD_TAKES };
static struct {
	_Atomic int turn;
	_Atomic int fd; /* the connection's number in the process that holds it */
} * shared;

static int take(int from)
{
	return (int)syscall(SYS_pidfd_getfd, from, atomic_load(&shared->fd), 0);
}

static void wait_turn(int turn)
{
	while (atomic_load(&shared->turn) != turn)
		usleep(100);
}

/* Serves for that time.  False: the client has closed. */
static bool serve(int fd, struct legacy_line *line, int milliseconds)
{
	for (int i = 0; i < milliseconds; i++) {
		struct pollfd one = {.fd = fd, .events = POLLIN};
		if (poll(&one, 1, 1) > 0 && legacy_answer(fd, line) < 0)
			return false;
	}
	return true;
}

static void run_child(int listener, int parent)
{
	static struct legacy_line line;
	int fd;
	while ((fd = legacy_accept(listener)) < 0)
		;
	close(listener);
	for (;;) {
		bool open = serve(fd, &line, 3);
		if (!open)
			_exit(0);
		atomic_store(&shared->fd, fd);
		atomic_store(&shared->turn, PARENT_TAKES);
		wait_turn(PARENT);
		close(fd);
		atomic_store(&shared->turn, CHILD_TAKES);
		wait_turn(CHILD);
		fd = take(parent);
		atomic_store(&shared->turn, CHILD_TAKES);
		if (fd < 0)
			legacy_die(4, "pidfd_getfd");
	}
}

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	shared = mmap(
	        NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int self = (int)syscall(SYS_pidfd_open, getpid(), 0), low = open("/dev/null", O_RDONLY);
	for (int i = 0; i < DESCRIPTORS; i++)
		if (dup(low) < 0)
			legacy_die(4, "dup");
	pid_t pid = fork();
	if (pid == 0) {
		close_range(low, ~0u, 0);
		self = (int)syscall(SYS_pidfd_open, getppid(), 0);
		run_child(legacy.listeners[0], self);
	}
	int child = (int)syscall(SYS_pidfd_open, pid, 0);
	close(low); /* the connection then gets the lowest number */
	for (;;) {
		while (atomic_load(&shared->turn) != PARENT_TAKES)
			if (waitpid(pid, NULL, WNOHANG) == pid)
				pause();
			else
				usleep(100);
		int fd = take(child);
		if (fd < 0)
			legacy_die(4, "pidfd_getfd");
		atomic_store(&shared->turn, PARENT);
		wait_turn(CHILD_TAKES);
		atomic_store(&shared->fd, fd);
		usleep(2000);
		atomic_store(&shared->turn, CHILD);
		while (atomic_load(&shared->turn) == CHILD)
			usleep(100);
		close(fd);
	}
}
