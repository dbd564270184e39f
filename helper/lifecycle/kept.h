/* SPDX-License-Identifier: MIT */
/*
 * Listeners that outlive the launcher, because the service manager has a duplicate of the socket.
 *
 *   stored     The launcher has put the socket into the manager's file descriptor store (FDSTORE=1,
 *              sd_pid_notify_with_fds(3)).  The manager passes it to the launcher that it starts
 *              next: after a restart of the service, or when this launcher has been killed.
 *   activated  The socket is the manager's own (systemd.socket(5)).  The daemon gets it by bind(),
 *              or inherits it as descriptor 3 and above.
 *
 * Nobody may shut such a socket down while it is to live on: its queue would end for all holders.
 * instance_leaves() tells whether it is to live on.  Clients wait in the queue until the next
 * launcher's daemon accepts there.
 */
#pragma once

#include "helper/process/passed.h"
#include "helper/state/instance.h"

/*
 * Puts the sockets that the manager has passed into the fd store.  Consumes their descriptors.  Call
 * before the first generation starts, and after manager_open().
 */
void kept_take_back(struct instance *instance, const struct passed *passed, unsigned count);

/* A generation that is about to start inherits the activated listeners. */
void kept_give(struct instance *instance, struct generation *generation);

/*
 * Tells the manager of listeners that have come or gone since the last call.  Cheap if there are
 * none.  Call after each event.
 */
void kept_tell(struct instance *instance);

/*
 * Asks the manager what it is going to do, then tells `stop` so by instance->leaves_listeners.
 * Calls `stop` at once if the manager stores nothing.
 */
void kept_before_stop(struct instance *instance, void (*stop)(struct instance *instance));
