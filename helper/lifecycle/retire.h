/* SPDX-License-Identifier: MIT */
/*
 * The end of a listener: no generation wants it any more, and no client may be reset.
 *
 * New clients are kept out first, then the queue is emptied, then the gate closes, and the socket
 * after the gate.
 */
#pragma once

#include "helper/state/instance.h"

/* Lets no new client in at this listener.  `generation`, which accepts there, empties the queue. */
void retire_refuse(struct generation *generation, uint32_t listener);

/*
 * Do the generation's own processes need this listener to reach each other?  Never true of an IP
 * socket, nor when the generation has no client any more.
 */
bool retire_is_needed(const struct generation *generation, uint32_t listener);

/*
 * The listeners of a draining generation that no other generation will serve.  _refuse_: lets no
 * new client in.  The second does this, too, and closes those whose queue is empty, or whose time
 * is over.  True: none is left open.
 */
void retire_refuse_left_behind(struct instance *instance, struct generation *generation);
bool retire_left_behind(struct instance *instance, struct generation *generation);

/*
 * Closes listeners that no generation holds: clients would only wait there.  One that the current
 * generation may still take up is kept until the time for late listeners is over
 * (helper/switch/moves.h).  No-op while a start is under way or no generation serves; to be
 * called again when that is over.  No-op, too, when the instance ends: stop.c empties all queues.
 */
void retire_unheld(struct instance *instance);
