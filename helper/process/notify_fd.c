/* SPDX-License-Identifier: MIT */
/* Tells the supervisor by a descriptor that the service is ready. */
#include "helper/process/notify_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "helper/base/util.h"

static int descriptor = -1;

int notify_fd_take(int number)
{
	descriptor = fcntl(number, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (descriptor < 0)
		return -errno;
	close(number);
	return 0;
}

/* A supervisor that does not read has a pipe's buffer for this one byte. SIGPIPE is blocked. */
void notify_fd_ready(void)
{
	if (descriptor >= 0)
		(void)!write(descriptor, "\n", 1);
	fd_close(&descriptor);
}
