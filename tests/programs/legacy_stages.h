/* SPDX-License-Identifier: MIT */
/*
 * Part of legacy_daemon.h.  What a test daemon does at each stage of its start: the chosen habits,
 * then the failure (--fail), and at the last stage the message that the daemon is ready (--notify,
 * --ready-fd).
 *
 *   --fail=exit0 exit1 abort segv    ends at once, in that way
 *          hang                      does not go on, and does not end
 *          leave-helper              exits with 1; a child keeps every descriptor open
 *          daemonise-then-fail       goes into the background, then exits with 1
 *          die-soon                  exits with 1 after 50 ms, as soon as no connection is open
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/programs/legacy_habits.h"
#include "tests/programs/legacy_settings.h"

/* ---- failures ---- */

/* The daemon ends between connections, so that a lost answer cannot be the daemon's own fault. */
static void die_soon(int signal)
{
	(void)signal;
	legacy_dying = 1;
}

/* A child in a session of its own keeps every descriptor open; the daemon itself fails. */
static void fail_leaving_helper(void)
{
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	}
	_exit(1);
}

static void fail_daemonised(void)
{
	if (daemon(1, 1) < 0)
		legacy_die(4, "daemon");
	sleep_ms(50);
	_exit(1);
}

static void fail(void)
{
	const char *how = settings.fail;
	if (strcmp(how, "exit0") == 0)
		_exit(0);
	if (strcmp(how, "exit1") == 0)
		_exit(1);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(how, "hang") == 0) {
		fprintf(stderr, "%s hangs\n", legacy.tag);
		for (;;)
			pause();
	}
	if (strcmp(how, "leave-helper") == 0)
		fail_leaving_helper();
	if (strcmp(how, "daemonise-then-fail") == 0)
		fail_daemonised();
	if (strcmp(how, "die-soon") == 0) {
		struct itimerval t = {.it_value.tv_usec = 50000};
		signal(SIGALRM, die_soon);
		setitimer(ITIMER_REAL, &t, NULL);
		return;
	}
	errno = EINVAL;
	legacy_die(2, how);
}

static void reach(enum stage stage)
{
	static const char again[] = "LEGACY_LISTENERS";
	for (size_t i = 0; i < COUNT(habits); i++)
		if (habit_chosen[i] && habits[i].stage == stage &&
		        !(habits[i].act == habit_exec_listening && getenv(again)))
			habits[i].act();
	if (settings.fail && settings.fail_at == stage)
		fail();
}

/* ---- readiness ---- */

/* Sends what sd_notify() sends. */
static void notify(void)
{
	static const char ready[] = "STATUS=serving\nREADY=1\n";
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || strlen(path) >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, strlen(path));
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	(void)sendto(fd, ready, strlen(ready), MSG_NOSIGNAL, (struct sockaddr *)&un, length);
	close(fd);
}

static void announce(int signal)
{
	int error = errno;
	(void)signal;
	if (settings.notify)
		notify();
	if (settings.ready_fd >= 0) {
		(void)!write(settings.ready_fd, "\n", 1);
		close(settings.ready_fd);
	}
	errno = error;
}

void legacy_waiting(void)
{
	reach(STAGE_WAITING);
	if (!settings.notify && settings.ready_fd < 0)
		return;
	if (settings.ready_after == 0) {
		announce(0);
		return;
	}
	struct itimerval t = {
	        .it_value = {settings.ready_after / 1000, settings.ready_after % 1000 * 1000}};
	signal(SIGALRM, announce);
	setitimer(ITIMER_REAL, &t, NULL);
}
