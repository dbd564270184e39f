/* SPDX-License-Identifier: MIT */
/*
 * What the launcher tells the service manager that has started it: the protocol of sd_notify(3).
 *
 *   READY=1            the first generation serves; an upgrade is over (ERRNO=: it has failed)
 *   RELOADING=1        an upgrade begins
 *   STOPPING=1         the instance ends
 *   EXTEND_TIMEOUT_USEC  each second while one of these takes time
 *   STATUS=            which generation serves, how many connections older ones have
 *   WATCHDOG=1         the launcher works, and so does a daemon that has a watchdog of its own
 *
 * A daemon's own messages come to the launcher (helper/process/notifier.h), for the manager must not
 * hear of the end or the pid of one generation.  Its STATUS and its WATCHDOG are passed on.
 *
 * Without NOTIFY_SOCKET in the launcher's environment all of this does nothing.  Messages are lost
 * if the manager does not read, and the launcher does not wait.
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

/* Generations or their connections have changed. */
void manager_tell_status(struct instance *instance);

/* The current generation has said this. */
void manager_pass_on(struct instance *instance, const struct notification *notification);
