/* SPDX-License-Identifier: MIT */
/* Time, and the exit of the load client after an error of its own. */
#pragma once

#include <stdint.h>

#define MILLISECOND INT64_C(1000000)
#define SECOND      INT64_C(1000000000)

/* The monotonic clock, in nanoseconds. */
int64_t now(void);

double ms(int64_t nanoseconds);

/* Prints errno and exits with status 1. */
_Noreturn void fail(const char *what);
