/* SPDX-License-Identifier: MIT */
/*
 * A daemon that listens and makes an io_uring: it looks like a daemon that accepts through the
 * io_uring.  Takes the options of legacy_daemon.h.  Exits with status 77 if the kernel offers none.
 */
#include <linux/io_uring.h>
#include <sys/syscall.h>

#include "tests/programs/legacy.h"

int main(int argc, char **argv)
{
	struct io_uring_params parameters = {0};
	legacy_start(argc, argv);
	if (syscall(SYS_io_uring_setup, 8, &parameters) < 0)
		return 77;
	for (;;)
		pause();
}
