/* SPDX-License-Identifier: MIT */
/*
 * The end of a generation: its connections run out, it gets the stop signal, then SIGKILL.
 *
 * The kernel says how many connections there are (helper/kernel/audit.h).  A generation gets the
 * stop signal when two counts in a row found no connection, or when its deadline has passed.  One
 * count is not enough: the last connection that was accepted may be too late for the first count.
 * The second count begins when the generation can accept no more.
 *
 * A listener may stay with a draining generation until a later one takes over
 * (helper/switch/moves.h).  As long as one stays, the drain does not end, not even at its deadline:
 * the generation still accepts there and nobody else does, so clients would be refused.  The
 * deadline counts from the beginning of the drain all the same.  If it has passed when the last of
 * these listeners leaves, the generation has one second for what is queued.
 *
 * A generation has ended when its keeper exits.  The supervisor sees that.
 */
#pragma once

#include "helper/state/instance.h"

/* Begins to count connections.  All later steps follow by timer. */
void drain_begin(struct instance *instance, struct generation *generation);

/*
 * For --no-overlap: as drain_begin(), but the listeners of the generation are kept for the next
 * one, which starts when this one has ended.  The drain takes at most `timeout`; the generation's
 * own settings do not count.  A generation that drains already keeps its deadline if that is
 * earlier.
 */
void drain_vacate(struct instance *instance, struct generation *generation, nanoseconds timeout);

/* A drain that is under way lasts at most that much longer.  No-op if the generation does not drain. */
void drain_limit(struct generation *generation, nanoseconds timeout);

/* The generation serves again: stops the drain.  The caller opens the gates. */
void drain_cancel(struct generation *generation);

/* Stop signal now; SIGKILL after `patience` to every process that is left.  No-op if stopping. */
void drain_stop(struct generation *generation, nanoseconds patience);

/* SIGKILL to every process now, and again every 20 ms until none is left. */
void drain_kill(struct generation *generation);

/*
 * After drain_kill(): waits for the end of the generation, at most `patience`.  The keeper is not
 * reaped here, so the supervisor sees its exit as usual.  A process that survives SIGKILL for so
 * long is inside a system call; it executes no more code of the daemon.
 */
void drain_await_kill(const struct generation *generation, nanoseconds patience);

/* To be called when a count of the generation's connections has ended (helper/state/survey.h). */
void drain_counted(struct generation *generation);
