/* SPDX-License-Identifier: MIT */
/*
 * --no-overlap: for a daemon that cannot run twice, because it locks its data or because each of
 * two processes would hold half of the state.  All generations end before the next one starts:
 * their gates close, they finish their connections, they get the stop signal.  Clients wait
 * meanwhile in the queues of the launcher's sockets.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * Closes all gates and begins to drain all generations, each for at most `timeout`.  None is
 * current afterwards.  The next generation can start when none is left.
 */
void vacate_begin(struct instance *instance, nanoseconds timeout);

/* A generation serves again: its queues get the length that it asked for (listener_lower()). */
void vacate_end(struct instance *instance);
