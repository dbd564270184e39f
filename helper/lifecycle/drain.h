/* SPDX-License-Identifier: MIT */
/*
 * The end of a generation: its connections run out, it is told to stop, it is made to.
 *
 * The count is the kernel's (helper/kernel/audit.h); a generation is told to stop only when it was empty
 * twice in a row, or when its time is over: what it accepted last may have come too late for the first
 * count, and the second began when it could accept no more.  As long as listeners stay with it for a late successor
 * (helper/switch/moves.h) it is neither: it accepts there, and to make it end by the deadline of its
 * connections would be to refuse clients whom nobody else serves.  Its deadline counts from the
 * switch all the same, so it may be over as soon as it has none to serve any more.  Its end is the exit of its keeper, which the
 * supervisor sees.
 */
#pragma once

#include "helper/state/instance.h"

/* GENERATION_DRAINING: begins to count; `drained` follows by itself. */
void drain_begin(struct instance *instance, struct generation *generation);

/*
 * The same, or sooner if it drains already, for one that has to end before its successor starts: its
 * listeners stay for that one.  At most `timeout`, whatever its own settings say.
 */
void drain_yield(struct instance *instance, struct generation *generation, nanoseconds timeout);

/* A roll-back: it serves again. */
void drain_cancel(struct generation *generation);

/* Lets nobody new in at that listener; `generation`, which accepts there, goes on with its queue. */
void drain_refuse(struct generation *generation, uint32_t listener);

/* Is that listener how its own services reach each other, as long as clients are left? */
bool drain_needs(const struct generation *generation, uint32_t listener);

/* Stop signal now, SIGKILL to all that is left after `patience`. */
void drain_stop(struct generation *generation, nanoseconds patience);

/* SIGKILL to every process, at once and until none is left. */
void drain_kill(struct generation *generation);

/*
 * Waits for the end of one that drain_kill() has been called for, which the supervisor is told of
 * as ever.  What survives SIGKILL for so long is inside a system call, and does nothing more.
 */
void drain_await_kill(const struct generation *generation, nanoseconds patience);

/* A count of its connections has ended (helper/state/survey.h). */
void drain_counted(struct generation *generation);
