/* SPDX-License-Identifier: MIT */
/*
 * The launcher's messages to the service manager that has started it (protocol of sd_notify(3)).
 *
 *   READY=1              the first generation serves; an upgrade is over (ERRNO=: it has failed)
 *   RELOADING=1          an upgrade begins
 *   STOPPING=1           the instance ends
 *   EXTEND_TIMEOUT_USEC  each second while one of these takes time
 *   STATUS=              which generation serves, how many connections older ones have
 *   WATCHDOG=1           the launcher works, and so does a daemon that has a watchdog of its own
 *
 * A daemon's own messages come to the launcher (helper/process/notifier.h), because the end or the
 * pid of one generation is not that of the service.  The launcher passes on the STATUS and the
 * WATCHDOG of the current generation.
 *
 * Without NOTIFY_SOCKET in the launcher's environment all of this does nothing.  Messages are lost
 * if the manager does not read; the launcher does not wait.
 */
#pragma once

#include "helper/process/notifier.h"
#include "helper/state/instance.h"

/* Takes the variables out of the environment.  Call once. */
void manager_open(struct instance *instance);

/* Is there one that wants to be told?  Then generations get a NOTIFY_SOCKET of the launcher's. */
bool manager_is_there(void);

void manager_upgrade_begins(struct instance *instance);
/* `failed`: the status has the reason. */
void manager_upgrade_ends(struct instance *instance, bool failed);
/* A start or restart is over. */
void manager_serves(struct instance *instance);
void manager_ends(struct instance *instance);

/*
 * May the manager store sockets?  False: it has said that it stores none (FDSTORE=0), or there is no
 * manager.
 */
bool manager_may_store(void);

/* Sends this text, and the descriptor (-1: none) with it.  False: it could not be sent. */
bool manager_say(const char *text, int fd);

/* Generations or their connections have changed. */
void manager_tell_status(struct instance *instance);

/* The current generation has said this, or the next one, whose status is for later. */
void manager_pass_on(struct instance *instance, const struct generation *generation,
        const struct notification *notification);
