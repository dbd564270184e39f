/* SPDX-License-Identifier: MIT */
/*
 * --no-overlap: for a daemon that cannot run twice, because of a lock on its data or because two of
 * it would each have a half of the state.  All of it that there is makes room for the next one: its
 * gates close, it finishes what is under way, it is told to stop.  Clients wait in the queues, which
 * are the launcher's.
 */
#pragma once

#include "helper/state/instance.h"

/* Begins, for all generations, of which none is current afterwards. It is over when none is left. */
void yield_begin(struct instance *instance, nanoseconds timeout);

/* The instance ends meanwhile: the one that can still accept is the current one again, if any can. */
void yield_abandon(struct instance *instance);

/* Somebody serves again: queues are as long as that one wants them. */
void yield_end(struct instance *instance);
