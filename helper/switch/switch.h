/* SPDX-License-Identifier: MIT */
/* The switch: which generation accepts on a listener, and from which moment. */
#pragma once

#include "helper/state/instance.h"

/*
 * Does the next switch open that listener in `to`?  True when `to` has taken the listener up, its
 * gate there is closed, and one of these holds: a process of `to` waits on the listener; `to` is
 * trusted there (->trusted); or no generation accepts there, so that nothing is taken from another
 * one.
 */
bool switch_is_due(struct instance *instance, const struct generation *to, uint32_t listener);

/*
 * Closes the gates of all listeners that are due in `to` everywhere else, then opens them in `to`.
 * The first generation, an upgrade and a listener that is bound late are all served by this
 * function.  Takes well under a millisecond, and at most SWITCH_PATIENCE for each other generation
 * with a process that is stuck in accept.  Returns the time from the closing of the gates to the
 * last accept of the generations that had them open.
 */
#define SWITCH_PATIENCE SECOND
nanoseconds switch_to(struct instance *instance, struct generation *to);

/*
 * A roll-back.  The caller has set ->current to the earlier generation again.  Every listener that
 * `failed` had taken over (NULL: it has gone already) is opened in the newest of the other
 * generations that has had it open.  A listener that none of them has had open is opened in the
 * current one.  Time and return value as for switch_to().
 */
nanoseconds switch_back(struct instance *instance, struct generation *failed);

/*
 * Closes every open gate of `from` and opens none: new connections wait in the queue.  Time and
 * return value as for switch_to().
 */
nanoseconds switch_off(struct instance *instance, struct generation *from);

/*
 * The second half of switch_off(), for gates that are closed already: waits for the accepts in
 * flight of `from` and wakes blocked ones with pokes.
 */
nanoseconds switch_release(struct instance *instance, struct generation *from);

/* The gate word to set when `generation` takes that listener up now. */
uint32_t switch_first_word(
        struct instance *instance, const struct generation *generation, uint32_t listener);

/*
 * If keepers have opened gates (helper/process/keeper.h), sets all gates to what the launcher has
 * decided.
 */
void switch_assert(struct instance *instance);
