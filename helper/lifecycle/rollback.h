/* SPDX-License-Identifier: MIT */
/* A generation has failed, or has ended: what it has changed is undone, and an older one serves. */
#pragma once

#include "helper/state/instance.h"

/*
 * The newest older generation that can becomes the current one again.  `failed`: has the listeners
 * now; NULL: it has gone already.  False: there is none, and nobody is current.
 */
bool rollback_resume(struct instance *instance, struct generation *failed);

/*
 * No process of `failed` is left: undoes what it has changed of listeners and files.  Call before
 * it is freed, or before the stop signal of the current generation, which removes its own files.
 */
void rollback_undo(struct instance *instance, const struct generation *failed);

/*
 * The instance ends while a start may be under way.  A next generation beside a current one, or a
 * failing one, is killed, and what it has changed is undone.  This waits for its end, at most a
 * second.
 */
void rollback_abandon(struct instance *instance);
