/* SPDX-License-Identifier: MIT */
/* A generation has failed, or has ended: what it has changed is undone, and an older one serves. */
#pragma once

#include "helper/state/instance.h"

/*
 * Makes an older generation the current one: the one that has just been replaced, else the newest
 * that is able to serve.  `failed`: has the listeners now; NULL: it has ended.  False: there is
 * none, and no generation is current.
 */
bool rollback_resume(struct instance *instance, struct generation *failed);

/*
 * The processes of `failed` have ended or are being killed: undoes what they have changed of files,
 * and, if this is an upgrade, of listeners.  Call before `failed` is freed, and before the stop
 * signal of the current generation, which removes its own files.
 */
void rollback_undo(struct instance *instance, const struct generation *failed);

/*
 * The instance ends while a start may be under way.  A next generation beside a current one, or a
 * failing one, is killed, and what it has changed is undone.  This waits for its end, at most a
 * second.
 */
void rollback_abandon(struct instance *instance);
