/* SPDX-License-Identifier: MIT */
/*
 * When is a generation ready?  One is awaited at a time.
 *
 *   serving     it has taken up the listeners, and one of its processes waits on one of them
 *   notify      one of its processes sent READY=1 to NOTIFY_SOCKET (sd_notify(3))
 *   fd=N        it wrote a newline to descriptor N
 *   exec=CMD    serving, and /bin/sh -c CMD ended with status 0; tried again every 200 ms
 *
 * A command cannot know whom it asks: what it connects to is the current generation until the
 * switch. Whatever is said, nothing is switched to a generation that has not taken up the listeners
 * there are: all of them, or some and for a second no further one.
 */
#pragma once

#include "helper/instance.h"

struct readiness {
	struct instance *instance;
	struct generation *generation;
	void (*ready)(void *context);
	void *context;

	struct timer look;
	struct watch input; /* notify socket or pipe */
	int pipe;           /* fd=N: the daemon's end until it is started */
	char notify_address[64];
	pid_t probe; /* exec=CMD: running now, 0: none */
	nanoseconds probed_at;
	bool said; /* notify, fd=N, exec=CMD: heard */
};

/* Before the generation is spawned: what it needs in its environment and descriptors. 0 or -errno.
 */
int readiness_init(
        struct readiness *readiness, struct instance *instance, struct generation *generation);

/* "NOTIFY_SOCKET=@..." or "". */
void readiness_variable(const struct readiness *readiness, char *text, size_t size);

/* After the spawn: calls ready(context) once, from the loop. */
void readiness_await(struct readiness *readiness, void (*ready)(void *), void *context);

/* A child of the launcher ended: ours? */
bool readiness_reaped(struct readiness *readiness, pid_t pid, int status);

/* Ends it in any state; safe on one that was never started (zeroed). */
void readiness_deinit(struct readiness *readiness);
