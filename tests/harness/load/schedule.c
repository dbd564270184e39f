/* SPDX-License-Identifier: MIT */
/* Starts connections at a fixed rate. */
#include <stddef.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/load/base.h"
#include "tests/harness/load/clients.h"
#include "tests/harness/load/options.h"
#include "tests/harness/load/schedule.h"

struct schedule schedule = {.fd = -1};

void timer_arm(int fd, int64_t nanoseconds)
{
	struct itimerspec t = {.it_interval = {nanoseconds / SECOND, nanoseconds % SECOND}};
	t.it_value = t.it_interval;
	if (timerfd_settime(fd, 0, &t, NULL) < 0)
		fail("timerfd_settime");
}

void schedule_begin(void)
{
	schedule.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	schedule.begun = now();
	if (options.rate > 0)
		timer_arm(schedule.fd, SECOND / options.rate);
	persistent_open();
}

/* Starts several connections at once if this program was late, so that the rate does not drop. */
void schedule_step(void)
{
	static int64_t due;
	uint64_t count;
	if (read(schedule.fd, &count, sizeof(count)) != sizeof(count) || schedule.stopping)
		return;
	int64_t interval = SECOND / options.rate;
	int64_t lag = now() - schedule.begun - due - interval;
	due += (int64_t)count * interval;
	if (lag > schedule.lag_max)
		schedule.lag_max = lag;
	while (count-- > 0)
		client_start(false);
}

void schedule_stop(void)
{
	if (schedule.stopping)
		return;
	schedule.stopping = true;
	timer_arm(schedule.fd, 0);
	persistent_close();
}
