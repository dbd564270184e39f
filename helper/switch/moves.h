/* SPDX-License-Identifier: MIT */
/*
 * After the first switch: listeners that the current generation has not taken over yet.
 *
 * They stay with the older generation that serves them, which is not told to stop meanwhile.  One
 * moves when the current generation has taken it up and waits on it.  At ->retire_at, which each
 * switch sets anew for all of them, it is over: what the current one has taken up moves though nobody
 * is seen to wait there, and the rest is retired (helper/lifecycle/drain.h).  While a further generation is
 * being started nothing is retired, for that one may want it.
 *
 * These do not stay:
 *   - the port that the kernel chose for a socket bound while its generation served: nobody but one
 *     client knows it (passive FTP), and it lives as long as that client (helper/lifecycle/drain.c);
 *   - UNIX listeners of a generation whose services use each other: they are needed until its last
 *     client has gone, and by nobody else (helper/lifecycle/drain.c);
 *   - what the current generation has another listener for, that could not be bound beside it
 *     without us: 127.0.0.1 and then 0.0.0.0, on one port.
 * With --no-overlap there is nobody with whom they could stay: clients wait in the queue.
 */
#pragma once

#include "helper/state/instance.h"

/* The current generation has just been switched to. */
void moves_begin(struct instance *instance, nanoseconds retire_after);

/* The current generation has taken up one more: looks soon, and until none is left. */
void moves_expect(struct instance *instance);

/* Moves what is due, now.  Not on probation: a roll-back has only one switch to undo. */
void moves_now(struct instance *instance);

/* The time for late ones is over, and no generation is being started that might want them. */
bool moves_are_over(const struct instance *instance);

/* How long until then, in whole seconds if it is more than one; NEVER. */
nanoseconds moves_time_left(const struct instance *instance);

/* Does `generation` serve that listener until the current one does? */
bool moves_stays(struct instance *instance, const struct generation *generation, uint32_t listener);

/* ... any listener? */
bool moves_any_stays(struct instance *instance, const struct generation *generation);

/* Is it kept for the current generation, though no generation has it now? */
bool moves_are_awaited(struct instance *instance, uint32_t listener);

/* Says which have been left with whom, and for how long. */
void moves_report(struct instance *instance);
