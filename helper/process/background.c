/* SPDX-License-Identifier: MIT */
/* Puts the launcher into the background. */
#include "helper/process/background.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/util.h"
#include "helper/base/verb.h"

static int parent = -1; /* the pipe to the waiting parent; -1: none */

/* ---- the parent ---- */

static const int endings[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP};
static pid_t child;
static volatile sig_atomic_t ended_by; /* the signal; 0: none */

/* Who ends the waiting command ends the start. */
static void end_child(int number)
{
	ended_by = number;
	(void)kill(child, SIGINT); /* stop now */
}

static void catch_endings(void)
{
	struct sigaction action, old;
	action = (struct sigaction){.sa_handler = end_child};
	for (size_t i = 0; i < COUNT(endings); i++)
		if (sigaction(endings[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			(void)sigaction(endings[i], &action, NULL);
}

/* `mask`: the signals that were blocked before the fork. */
static _Noreturn void await_child(int pipe, const sigset_t *blocked, const sigset_t *mask)
{
	int status;
	ssize_t length;
	catch_endings();
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	do
		length = read(pipe, &status, sizeof(status));
	while (length < 0 && errno == EINTR);
	(void)sigprocmask(SIG_BLOCK, blocked, NULL);
	if (length != sizeof(status))
		status = EXIT_FAILED; /* the child died, and has logged why if it could */
	if (status != EXIT_DONE || ended_by)
		(void)waitpid(child, NULL, 0); /* exit after the child has ended */
	if (ended_by) {
		(void)signal(ended_by, SIG_DFL);
		(void)raise(ended_by);
		(void)sigprocmask(SIG_UNBLOCK, blocked, NULL);
	}
	_exit(status);
}

/* ---- both ---- */

static _Noreturn void fail_to_begin(void)
{
	log_error("cannot go to the background: %s", strerror(errno));
	exit(EXIT_FAILED);
}

void background_begin(void)
{
	sigset_t blocked, mask;
	int ends[2];
	sigemptyset(&blocked);
	for (size_t i = 0; i < COUNT(endings); i++)
		sigaddset(&blocked, endings[i]);
	if (pipe2(ends, O_CLOEXEC) < 0 || sigprocmask(SIG_BLOCK, &blocked, &mask) < 0)
		fail_to_begin();
	child = fork();
	if (child < 0)
		fail_to_begin();
	if (child > 0) {
		close(ends[1]);
		await_child(ends[0], &blocked, &mask);
	}
	(void)sigprocmask(SIG_SETMASK, &mask, NULL);
	close(ends[0]);
	parent = ends[1];
	(void)setsid();
	log_repeat_errors(true);
}

/* ---- the child ---- */

void background_done(int status)
{
	if (parent < 0)
		return;
	log_repeat_errors(false);
	(void)!write(parent, &status, sizeof(status)); /* the parent may be gone */
	fd_close(&parent);
	for (int fd = 0; fd <= 2; fd++) {
		struct stat file;
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (null >= 0 && (fd == 0 || fstat(fd, &file) < 0 || !S_ISREG(file.st_mode)))
			(void)dup2(null, fd);
		fd_close(&null);
	}
}
