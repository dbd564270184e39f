/* SPDX-License-Identifier: MIT */
/*
 * From one generation to the next.  The first start, an upgrade and a restart are the same steps,
 * with or without a current generation beside them.  One runs at a time.
 *
 *   start -> executed -> ready -> switch -> 300 ms of probation -> completed, the old one drains
 *
 *   failure before the switch: the processes of the next generation are killed; the current
 *     generation has not noticed anything
 *   failure in the probation: the old generation gets its listeners back first, then the same
 *   without an older generation there is no probation: the switch completes the start
 *
 * With --no-overlap the old generation ends first (helper/lifecycle/yield.h), and clients wait in
 * the queue:
 *
 *   all generations end -> start -> ready -> switch -> probation -> completed
 *
 *   any failure: the processes of the next generation are killed.  When none is left, the program
 *     of the old generation is started again -> ready -> switch.  The upgrade counts as failed
 *   that start fails too: the upgrade has failed, and the launcher goes on as after a crash
 *
 * What an event does in each phase (the phases are in upgrade.c):
 *
 *                    YIELDING            WARMING, no overlap  PROBATION, no overlap  FAILING
 *   second upgrade   refused: another one is running (75)
 *   HUP              refused likewise; the log says so
 *   the old one      it has to end       there is none        there is none          (*)
 *     ends             anyway
 *   the next one     there is none yet   FAILING              FAILING                this end is
 *     ends                                                                             awaited
 *   TERM, stop       the old one serves  the next one serves, drains as the          its end is
 *                      and drains, if      ready or not, and    current one            awaited
 *                      not told to stop    drains
 *   INT, stop --now  all get the stop signal at once, the queues are closed
 *
 *   (*) with overlap the old one is the current one, and its end is handled as such
 */
#pragma once

#include "helper/base/verb.h"
#include "helper/state/instance.h"

enum upgrade_kind { UPGRADE_START, UPGRADE_REQUESTED, UPGRADE_RESTART };

/* Called when it is over. `exit_status` is what `moult upgrade` exits with. */
typedef void upgrade_done(enum upgrade_kind kind, int exit_status);

/*
 * To be called once.  `main_ended` is called when the first process of a generation has ended,
 * unless this generation is the one being started.
 */
void upgrade_init(
        struct instance *instance, upgrade_done *done, void (*main_ended)(struct generation *));

bool upgrade_is_running(void);
enum upgrade_kind upgrade_running_kind(void);

/*
 * Starts the next generation, or lets the old ones end first.  0: upgrade_done follows, unless
 * upgrade_abandon() is called before.  -errno: nothing has been started or stopped.
 */
int upgrade_begin(enum upgrade_kind kind, const struct settings *settings);

/* The id of the generation that is being started, or that will be. */
uint32_t upgrade_running_id(void);

/* Is it the generation that is being started, on probation, or failing? */
bool upgrade_concerns(const struct generation *generation);
/* Handles what the keeper of any generation has reported. */
void upgrade_read_reports(struct generation *generation);
/*
 * Only if upgrade_concerns(): the keeper has ended (->keeper is 0 already), so no process is left.
 * The caller frees the generation.
 */
void upgrade_generation_gone(struct generation *generation);
/* A child has ended.  True: it was the command of --ready=exec=CMD. */
bool upgrade_reaped(pid_t pid, int status);

/*
 * To be called after a generation has been freed.  If that was the last one that had to end first,
 * the next one is started.
 */
void upgrade_go_on(void);

/*
 * The instance ends.  A next generation beside a current one is killed.  A next generation that is
 * alone becomes the current one.  On probation the old generation begins to drain.  While the old
 * ones end for --no-overlap, the newest that has not got its stop signal becomes the current one.
 * If a generation is being killed, this waits for its end, at most a second.  upgrade_done is not
 * called.
 */
void upgrade_abandon(void);
