/* SPDX-License-Identifier: MIT */
/*
 * Closes sockets that a daemon has, or had, without ever waiting.
 *
 * A process that is exiting does not wait when it closes a socket, and a close that is not the last
 * one never waits.  So the launcher forks a child, which has copies of all of them, closes its own,
 * and then lets the child exit.  There is one child for all sockets that are discarded together.
 */
#include "helper/process/discard.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "helper/base/loop.h"
#include "helper/base/util.h"

static const nanoseconds RETRY = SECOND;

static int *list;
static size_t count, allocated;
static struct timer timer;
static unsigned held;

/* The child: waits until the launcher has closed the other end of the pipe, and exits. */
static _Noreturn void hold(const int *pipe)
{
	char byte;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	(void)prctl(PR_SET_NAME, "moult-discard");
	close(pipe[1]);
	while (read(pipe[0], &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

static bool close_all(void)
{
	int pipe[2];
	if (pipe2(pipe, O_CLOEXEC) < 0)
		return false;
	pid_t child = fork();
	if (child == 0)
		hold(pipe);
	close(pipe[0]);
	for (size_t i = 0; child > 0 && i < count; i++)
		close(list[i]);
	close(pipe[1]);
	return child > 0;
}

static void discard(void *context)
{
	(void)context;
	if (held)
		return;
	if (close_all())
		count = 0;
	else
		loop_after(&timer, RETRY);
}

void fd_discard(int *fd)
{
	void *larger = *fd < 0 ? NULL : array_grow(list, count, &allocated, sizeof(*list));
	if (larger) {
		list = larger;
		list[count++] = *fd;
		timer.fire = discard;
		if (!timer.armed)
			loop_after(&timer, 0);
	} /* else it stays open until the launcher exits, which is better than to wait */
	*fd = -1;
}

void discard_hold(void)
{
	held++;
}

void discard_release(void)
{
	held--;
	if (!held && count && !timer.armed)
		loop_after(&timer, 0);
}
