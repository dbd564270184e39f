/* SPDX-License-Identifier: MIT */
/*
 * When connections are started: at a fixed rate, whatever became of the earlier ones.
 *
 * The loop is open on purpose: a client that waits for one answer before it asks again slows down together with the
 * server, and so asks nothing at the moment at which the server is down.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct schedule {
	int fd; /* a timer */
	int64_t begun;
	int64_t lag_max; /* how late the client itself was */
	bool stopping;
};
extern struct schedule schedule;

void timer_arm(int fd, int64_t nanoseconds);

void schedule_begin(void);

/* The timer is readable: starts as many connections as have become due. */
void schedule_step(void);

/* Starts no more, and closes the persistent ones. */
void schedule_stop(void);
