/* SPDX-License-Identifier: MIT */
/* How long a wait lasts, and when it ends. */
#pragma once

#include <stdint.h>
#include <time.h>

#include "shim/real.h"

/*
 * A limit is how long a wait lasts.  A deadline is when it ends, by CLOCK_MONOTONIC.  The deadline
 * is computed once, when the daemon calls; each slice gets what is left until then.
 */
typedef int64_t nanoseconds;
#define WAIT_FOREVER     INT64_MAX
#define WAIT_NEVER_TAKEN INT64_MIN /* as a deadline: not computed, not needed */

static inline nanoseconds wait_limit(const struct timespec *t)
{
	const nanoseconds second = 1000000000;
	return !t || t->tv_sec > INT64_MAX / second / 4 ? WAIT_FOREVER
	                                                : t->tv_sec * second + t->tv_nsec;
}

#define WAIT_MILLISECOND INT64_C(1000000)
#define WAIT_SECOND      INT64_C(1000000000)

static inline nanoseconds wait_now(void)
{
	struct timespec t = {0};
	/* libc's, which makes no system call: a filter may deny it. */
	real.clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * WAIT_SECOND + t.tv_nsec;
}

/* The clock is read only if the limit is neither 0 nor none. */
static inline nanoseconds wait_deadline(nanoseconds limit)
{
	return limit == WAIT_FOREVER || !limit ? limit : wait_now() + limit;
}

/* False if the kernel refuses the timeout with EINVAL.  Such a call goes to the kernel as it is. */
static inline int wait_time_is_right(const struct timespec *t)
{
	return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}
