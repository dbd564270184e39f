/* SPDX-License-Identifier: MIT */
/*
 * The channel: the socket on which a generation's processes send requests to the launcher
 * (shim/contract.h), and the launcher's messages with its broker.
 *
 * The broker (helper/requests/broker.h) accepts, receives and decodes.  It hands the launcher one
 * checked request at a time, and the launcher answers each (helper/requests/dispatch.h).
 */
#pragma once

#include "helper/requests/broker.h"
#include "helper/state/instance.h"

/* Chooses and binds instance->channel_address, and starts the broker.  0 or -errno. */
int channel_start(struct instance *instance);
void channel_stop(void);

/*
 * From now on the broker takes requests from processes of that generation, which are those that
 * descend from its keeper.  The keeper writes its pid into the entry before it starts the daemon
 * (helper/process/spawn.h).  NULL: there is no room.  _strike_off: from now on no longer.
 */
struct roster_entry *channel_enroll(const struct generation *generation);
void channel_strike_off(const struct generation *generation);

/* Call when a child of the launcher has ended.  True: it was a broker. */
bool channel_reaped(pid_t pid);
