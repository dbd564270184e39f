/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose processes come and go all the time.  Takes the options of legacy_daemon.h; --model
 * is:
 *
 *   once    6 children that accept one connection each and end; each is replaced at once
 *   twice   2 children that accept; a grandchild of theirs serves each connection, and its parent
 *           ends at once; the acceptor closes its own descriptor of the connection at once
 *
 * Meanwhile another process forks children as fast as it can, which set the listener's flags to
 * what the flags are already, and end.  --processes=N limits their number, and the program then
 * reports "over".
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { CHILDREN = 6, AT_ONCE = 8 };

static int listener;

static pid_t fork_or_die(void)
{
	pid_t pid = fork();
	if (pid < 0)
		legacy_die(4, "fork");
	return pid;
}

static void accept_once(void)
{
	for (;;) {
		int fd = legacy_accept(listener);
		if (fd < 0)
			continue;
		legacy_serve(fd);
		_exit(0);
	}
}

static void accept_and_fork_twice(void)
{
	for (;;) {
		int fd = legacy_accept(listener);
		if (fd < 0)
			continue;
		pid_t pid = fork_or_die();
		if (pid == 0) {
			if (fork_or_die() > 0)
				_exit(0);
			close(listener);
			legacy_serve(fd);
			_exit(0);
		}
		close(fd);
		waitpid(pid, NULL, 0);
	}
}

/* Runs in a process of its own, so that the others wait only for their own children. */
_Noreturn static void storm(void)
{
	for (int count = 0; !legacy.processes || count < legacy.processes; count += AT_ONCE) {
		for (int i = 0; i < AT_ONCE; i++)
			if (fork_or_die() == 0) {
				fcntl(listener, F_SETFL, fcntl(listener, F_GETFL));
				_exit(0);
			}
		while (wait(NULL) > 0)
			continue;
		if (!legacy.processes)
			nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	fprintf(stderr, "storm %s: over\n", legacy.tag);
	_exit(0);
}

static void replace(void (*serve)(void), int count)
{
	for (;;) {
		for (; count > 0; count--)
			if (fork_or_die() == 0)
				serve();
		if (wait(NULL) > 0)
			count++;
	}
}

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	listener = legacy.listeners[0];
	legacy_waiting();
	if (fork_or_die() == 0)
		storm();
	if (strcmp(legacy.style, "once") == 0)
		replace(accept_once, CHILDREN);
	if (strcmp(legacy.style, "twice") == 0)
		replace(accept_and_fork_twice, 2);
	errno = EINVAL;
	legacy_die(2, "--model");
}
