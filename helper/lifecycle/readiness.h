/* SPDX-License-Identifier: MIT */
/*
 * When is a generation ready?  One is awaited at a time.
 *
 *   serving     it waits for connections, see below
 *   notify      one of its processes sent READY=1 to NOTIFY_SOCKET (sd_notify(3))
 *   fd=N        it wrote a newline to descriptor N
 *   exec=CMD    serving, and /bin/sh -c CMD ended with status 0; tried again every 200 ms
 *
 * A command cannot know whom it asks: what it connects to is the current generation until the
 * switch.
 *
 * "Serving" is: it waits at one listener at least that is served now, and at each that it has bound.
 * A daemon that answers on its administrator's port while it still loads what its main port needs is
 * not ready.  What it has not bound says nothing: it may have been dropped from its configuration,
 * and is not waited for; or it comes late, and stays with the generation that serves it until then
 * (helper/switch/moves.h).  Some exceptions:
 *   - where nobody of the earlier generations has ever waited nobody needs to;
 *   - a listener that they do not know is left out when nothing has been bound for 5 s: some sockets
 *     are bound and never served;
 *   - a version whose addresses are all new is ready a second after it has bound the last of them;
 *   - where nobody serves yet any listener will do; and with --no-overlap the others need not be
 *     waited at, for clients wait everywhere.
 *
 * A daemon that says itself that it is ready is believed for all that it holds at that moment.
 * Nothing is switched to it, either, before it holds one of the listeners that are served.
 */
#pragma once

#include "helper/state/instance.h"

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

/* Why it is not ready, for people. */
void readiness_print_obstacle(const struct readiness *readiness, char *text, size_t size);

/* A child of the launcher ended: ours? */
bool readiness_reaped(struct readiness *readiness, pid_t pid, int status);

/* Ends it in any state; safe on one that was never started (zeroed). */
void readiness_deinit(struct readiness *readiness);
