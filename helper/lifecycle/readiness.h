/* SPDX-License-Identifier: MIT */
/*
 * When is a generation ready?  One generation is awaited at a time.
 *
 *   serving     it waits for connections, see below
 *   notify      one of its processes sent READY=1 to NOTIFY_SOCKET (sd_notify(3))
 *   fd=N        it wrote a newline to descriptor N
 *   exec=CMD    serving, and /bin/sh -c CMD ended with status 0; tried again every 200 ms
 *
 * With exec=CMD the command cannot know which generation answers: what it connects to is the
 * current generation until the switch.
 *
 * "Serving" means two things.  The generation waits at one listener at least that is served now.
 * And it waits at each listener that it has bound: a daemon that answers on its administrator's
 * port while it still loads the data for its main port is not ready.
 *
 * A served listener that the generation has not bound does not delay readiness.  Either its
 * configuration does not have this listener any more, or it binds late; then the listener stays
 * with the generation that serves it (helper/switch/moves.h).
 *
 * Exceptions:
 *   - a listener where no earlier generation has ever waited needs no waiter;
 *   - a listener that no earlier generation holds needs no waiter when nothing has been bound for
 *     5 s: some sockets are bound and never served;
 *   - a version that waits at none of the served listeners is ready a second after its last bind():
 *     all its addresses are new;
 *   - if nothing is served now, waiting at any listener will do;
 *   - with --no-overlap and "serving", one listener is enough: clients wait at all of them.
 *
 * notify and fd=N: the daemon is believed for all listeners that it holds at that moment, whether
 * or not it waits there.  The switch still needs one of the served listeners, or the exceptions
 * above.
 */
#pragma once

#include "helper/state/instance.h"

struct readiness {
	struct instance *instance;
	struct generation *generation;
	void (*ready)(void *context);
	void *context;

	struct timer look;
	struct watch input; /* fd=N */
	int pipe;           /* fd=N: the daemon's end, until the daemon is started */
	pid_t probe;        /* exec=CMD: the command that runs now; 0: none */
	nanoseconds probed_at;
	bool said; /* notify, fd=N: the daemon has said so; exec=CMD: the command has succeeded */
};

/*
 * Before the spawn: opens the socket or the pipe by which the daemon says that it is ready.  0 or
 * -errno; readiness_deinit() is due in both cases.
 */
int readiness_init(
        struct readiness *readiness, struct instance *instance, struct generation *generation);

/*
 * After the spawn: calls ready(context) once, from the loop, unless readiness_deinit() is called.
 */
void readiness_await(struct readiness *readiness, void (*ready)(void *), void *context);

/* For the log: what the generation lacks to be ready. */
void readiness_print_obstacle(const struct readiness *readiness, char *text, size_t size);

/* A child of the launcher has ended.  True: it was the command of exec=CMD. */
bool readiness_reaped(struct readiness *readiness, pid_t pid, int status);

/* A process of the generation has said READY=1. */
void readiness_notified(struct readiness *readiness);

/* Stops waiting, in any state.  No-op on a zeroed struct. */
void readiness_deinit(struct readiness *readiness);
