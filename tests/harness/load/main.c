/* SPDX-License-Identifier: MIT */
/*
 * The load client: opens connections on a fixed schedule and counts what each client saw.
 *
 * Each answer names its generation by the tag, a text between two markers.  An answer counts for
 * the instant at which its connection was started.  So a test can say "the new generation answered
 * every connection that was started after the switch", however long an answer takes.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/harness/load/base.h"
#include "tests/harness/load/clients.h"
#include "tests/harness/load/commands.h"
#include "tests/harness/load/options.h"
#include "tests/harness/load/report.h"
#include "tests/harness/load/schedule.h"

enum { BATCH = 256, TICK_MS = 10 };

/* For descriptors that are not connections, epoll reports the addresses of these variables. */
static char on_schedule, on_tick, on_signal, on_command;

static int epoll_fd, tick_fd, signal_fd;

static void watch(int fd, void *what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
	if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		fail("epoll_ctl");
}

static void tick(void)
{
	static int64_t second;
	uint64_t ticks;
	(void)!read(tick_fd, &ticks, sizeof(ticks));
	clients_tick();
	int64_t elapsed = now() - schedule.begun;
	if (options.duration > 0 && ms(elapsed) >= options.duration * 1000.0)
		schedule_stop();
	if (options.progress && elapsed >= second + SECOND) {
		second += SECOND;
		report("progress");
	}
}

static void take_events(const struct epoll_event *events, int count)
{
	bool schedule_is_due = false, tick_is_due = false;
	/* Connections first: the rest may close connections that this batch still names. */
	for (int i = 0; i < count; i++) {
		void *what = events[i].data.ptr;
		if (what == &on_schedule)
			schedule_is_due = true;
		else if (what == &on_tick)
			tick_is_due = true;
		else if (what != &on_signal && what != &on_command)
			client_step(what, events[i].events);
	}
	for (int i = 0; i < count; i++)
		if (events[i].data.ptr == &on_signal)
			commands_take_signal(signal_fd);
		else if (events[i].data.ptr == &on_command && !commands_take_line())
			(void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	if (schedule_is_due)
		schedule_step();
	if (tick_is_due)
		tick();
}

int main(int argc, char **argv)
{
	options_parse(argc, argv);
	connections_allocate();
	signal_fd = commands_open_signals();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	clients_init(epoll_fd);
	tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	watch(tick_fd, &on_tick);
	watch(signal_fd, &on_signal);
	if (options.control)
		watch(STDIN_FILENO, &on_command);
	timer_arm(tick_fd, TICK_MS * MILLISECOND);
	schedule_begin();
	watch(schedule.fd, &on_schedule);

	while (!schedule.stopping || live.next != &live) {
		struct epoll_event events[BATCH];
		int count = epoll_wait(epoll_fd, events, BATCH, -1);
		if (count < 0 && errno != EINTR)
			fail("epoll_wait");
		take_events(events, count);
	}
	report("result");
	return 0;
}
