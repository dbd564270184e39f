/* SPDX-License-Identifier: MIT */
/*
 * The launcher's end of the contract: requests of a generation's processes (shim/contract.h).
 *
 * A broker (helper/requests/broker.h) receives and decodes them.  Here the broker is started, watched and
 * replaced, and each checked request is answered.
 */
#pragma once

#include "helper/requests/broker.h"
#include "helper/state/instance.h"

/* Chooses and binds instance->channel_address. 0 or -errno. */
int channel_start(struct instance *instance);
void channel_stop(void);

/*
 * From now on processes that descend from the keeper are heard as members.  The keeper writes its pid
 * into the entry before it starts the daemon (helper/process/spawn.h).  NULL: there is no room.
 */
struct roster_entry *channel_enroll(const struct generation *generation);
void channel_strike_off(const struct generation *generation);

/* A child of the launcher has ended: was it the broker? */
bool channel_reaped(pid_t pid);
