/* SPDX-License-Identifier: MIT */
/* prctl: a seccomp filter of the daemon's binds us too. */
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include "shim/interpose.h"
#include "shim/real.h"
#include "shim/sandbox.h"

/* Variadic in the header; all its arguments are words, and come in registers either way. */
INTERPOSE(int, prctl, int option, long a, long b, long c, long d)
{
	if (option != PR_SET_SECCOMP)
		return real.prctl(option, a, b, c, d);
	bool of_process = sandbox_is_of_process();
	int result = real.prctl(option, a, b, c, d);
	if (result >= 0 && a == SECCOMP_MODE_FILTER)
		sandbox_entered((const void *)b, of_process);
	else if (result >= 0)
		sandbox_entered_strictly(of_process);
	return result;
}
