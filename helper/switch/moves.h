/* SPDX-License-Identifier: MIT */
/*
 * After the first switch: listeners that the current generation has not taken over yet.
 *
 * Such a listener stays with the older generation that serves it, which is not told to stop
 * meanwhile.  The listener moves when the current generation has taken it up and waits on it.
 *
 * The time for this is over at ->retire_at, which moves_begin() sets anew for all listeners.  Then
 * a listener that the current generation has taken up moves even if no process is seen to wait
 * there.  The others are retired (helper/lifecycle/retire.h).  While a further generation is being
 * started nothing is retired, because that generation may want the listener.
 *
 * These listeners do not stay with the older generation:
 *   - a port that the kernel chose for a socket bound while its generation served.  Only one client
 *     knows such a port (passive FTP), and it is needed as long as that client
 *     (helper/lifecycle/retire.c);
 *   - UNIX listeners of a generation whose services use each other.  Only that generation needs
 *     them, until its last client has gone (helper/lifecycle/retire.c);
 *   - a listener that the current generation has replaced by another one, which could not be bound
 *     beside it without moult: 127.0.0.1 and then 0.0.0.0, on one port.
 * With --no-overlap no older generation is left to serve a listener: clients wait in the queue.
 */
#pragma once

#include "helper/state/instance.h"

/* Call right after the switch to a new current generation.  Sets ->retire_at. */
void moves_begin(struct instance *instance, nanoseconds retire_after);

/*
 * Call when the current generation has taken up one more listener.  Looks soon, and again until no
 * listener is left that it has taken up and not been switched to.
 */
void moves_expect(struct instance *instance);

/*
 * Moves all listeners that are due, now.  Nothing moves on probation, so that a roll-back has only
 * one switch to undo.
 */
void moves_now(struct instance *instance);

/*
 * Is the time for late listeners over?  False while a generation is being started, which might want
 * them.
 */
bool moves_are_over(const struct instance *instance);

/* The time until ->retire_at, above one second rounded up to whole seconds; NEVER: no limit. */
nanoseconds moves_time_left(const struct instance *instance);

/*
 * Do clients of the service come in at that listener?  Not at a port made for one client, nor at one
 * by which the services of that generation reach each other.
 */
bool moves_is_for_clients(
        struct instance *instance, const struct generation *generation, uint32_t listener);

/* Does the older `generation` go on serving that listener until the current one takes over? */
bool moves_stays(struct instance *instance, const struct generation *generation, uint32_t listener);

/* The same for any listener. */
bool moves_any_stays(struct instance *instance, const struct generation *generation);

/* Is that listener kept open for the current generation, though no generation holds it now? */
bool moves_are_awaited(struct instance *instance, uint32_t listener);

/* Logs which listeners stay with which generation, and for how long. */
void moves_report(struct instance *instance);
