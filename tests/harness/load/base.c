/* SPDX-License-Identifier: MIT */
/* Time, and the exit of the load client after an error of its own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/harness/load/base.h"

_Noreturn void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

double ms(int64_t nanoseconds)
{
	return (double)nanoseconds / (double)MILLISECOND;
}
