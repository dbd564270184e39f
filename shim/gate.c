/* SPDX-License-Identifier: MIT */
/* Waiting at a closed gate. */
#include "shim/gate.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

#include "shim/raw.h"
#include "shim/real.h"

_Atomic uint32_t gate_edition = 1;

int gate_sleep(int listener, uint32_t word, int64_t limit_us)
{
	struct timespec limit = {limit_us / 1000000, limit_us % 1000000 * 1000};
	int type = 0;
	if (real.pthread_setcanceltype) /* a raw system call is no cancellation point */
		real.pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
	long result = raw(SYS_futex, &gate_of(listener)->word, FUTEX_WAIT, word,
	        limit_us >= 0 ? &limit : NULL);
	if (real.pthread_setcanceltype)
		real.pthread_setcanceltype(type, NULL);
	return result == -EAGAIN ? 0 : (int)result;
}
