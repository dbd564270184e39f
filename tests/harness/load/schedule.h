/* SPDX-License-Identifier: MIT */
/*
 * Starts connections at a fixed rate, whatever happens to earlier connections.
 *
 * The loop is open on purpose.  A client that waits for an answer before it asks again slows down
 * together with the server, and asks nothing while the server is down.
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

/* Starts no further connections, and closes the persistent ones. */
void schedule_stop(void);
