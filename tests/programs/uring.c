/* SPDX-License-Identifier: MIT */
/*
 * A daemon that listens, makes an io_uring and waits for nothing else: as one looks that accepts
 * through it.  Ends with status 77 where the kernel has none to give.
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
