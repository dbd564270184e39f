/* SPDX-License-Identifier: MIT */
/*
 * Listeners that a process says it has closed.
 *
 * The launcher looks a second later: the daemon may bind the address again by then, or another of
 * its processes may still hold the socket.  If no process holds it, the listener is closed, as it
 * would be without moult.
 */
#pragma once

#include "helper/state/instance.h"

/* A process of the generation says that it has closed the listener. */
void closing_begin(struct instance *instance, struct generation *generation, uint32_t listener);

/* The generation has taken the listener up again; -1: the generation has ended. */
void closing_cancel(const struct generation *generation, int listener);

/* Is that listener still to be looked at? */
bool closing_is_pending(const struct generation *generation, uint32_t listener);
