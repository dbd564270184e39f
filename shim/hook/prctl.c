/* SPDX-License-Identifier: MIT */
/* prctl: a seccomp filter that the daemon installs binds the shim, too. */
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "shim/hook/interpose.h"
#include "shim/real.h"
#include "shim/sandbox.h"

/* The header says variadic.  All arguments are words, so they come in the same registers. */
INTERPOSE(int, prctl, int option, long a, long b, long c, long d)
{
	if (option != PR_SET_SECCOMP)
		return real.prctl(option, a, b, c, d);
	bool concerns_us = sandbox_concerns_us();
	int result = real.prctl(option, a, b, c, d);
	if (!concerns_us || result < 0)
		return result;
	if (a == SECCOMP_MODE_FILTER)
		sandbox_entered((const void *)b, false);
	else
		sandbox_entered_strictly();
	return result;
}
