/* SPDX-License-Identifier: MIT */
/* Puts the launcher into the background. */
#include "helper/process/background.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/util.h"
#include "helper/base/verb.h"

static int parent = -1; /* the pipe to the waiting parent; -1: none */

void background_begin(void)
{
	int ends[2], status = EXIT_FAILED;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		log_error("cannot go to the background: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
	pid_t pid = fork();
	if (pid < 0) {
		log_error("cannot go to the background: %s", strerror(errno));
		exit(EXIT_FAILED);
	}
	if (pid > 0) {
		close(ends[1]);
		if (read(ends[0], &status, sizeof(status)) != sizeof(status))
			status = EXIT_FAILED; /* the child died, and has logged why if it could */
		if (status != EXIT_DONE)
			(void)waitpid(pid, NULL, 0); /* exit after the child has ended */
		_exit(status);
	}
	close(ends[0]);
	parent = ends[1];
	(void)setsid();
}

void background_done(int status)
{
	if (parent < 0)
		return;
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
