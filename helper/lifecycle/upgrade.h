/* SPDX-License-Identifier: MIT */
/*
 * From one generation to the next: the first start, an upgrade and a restart are the same act, with
 * or without a generation that serves meanwhile.  One at a time.
 *
 *   start -> (executed) -> ready -> switch -> 300 ms of probation -> completed, the old one drains
 *     any failure before the switch: the next one's processes are killed, nothing else has happened
 *     a failure in the probation: the switch is turned back, then the same
 *
 * With --no-overlap the old one ends first (helper/lifecycle/yield.h), and clients wait in the queue:
 *
 *   all that there is ends -> start -> ready -> switch -> probation -> completed
 *     any failure: the next one's processes are killed, and when none of them is left the program of
 *     the old one is started again -> ready -> switch; the upgrade has failed then
 *     it does not start either: the upgrade has failed, and the rest is as after a crash
 *
 * What happens meanwhile, in the phases of upgrade.c:
 *
 *                    YIELDING             WARMING, no overlap   PROBATION, no overlap  FAILING
 *   a second upgrade refused: one is running (75)
 *   HUP              the same, in the log
 *   the old one dies it has yielded       there is none         there is none          (*)
 *   the next one     there is none yet    FAILING               FAILING                its end is what
 *     dies                                                                             is waited for
 *   TERM, stop       serves again, if it  serves, ready or not, ends as the            only the end is
 *                    has not been told    and ends as one       current one            waited for
 *                    to stop              that does
 *   INT, stop --now  all are told to stop at once, the queues end
 *
 *   (*) with overlap: it is the current one, and its end that of any
 */
#pragma once

#include "helper/base/verb.h"
#include "helper/state/instance.h"

enum upgrade_kind { UPGRADE_START, UPGRADE_REQUESTED, UPGRADE_RESTART };

/* Told when it is over. `exit_status` as `moult upgrade` shall have it. */
typedef void upgrade_done(enum upgrade_kind kind, int exit_status);

/* `main_ended`: the first process of a generation that is not being started has ended. */
void upgrade_init(
        struct instance *instance, upgrade_done *done, void (*main_ended)(struct generation *));

bool upgrade_is_running(void);
enum upgrade_kind upgrade_running_kind(void);

/* Starts the next generation. 0: upgrade_done follows; -errno: nothing has happened. */
int upgrade_begin(enum upgrade_kind kind, const struct settings *settings);

/* Which it is about: the next one, or what that will be. */
uint32_t upgrade_running_id(void);

/* What the supervisor sees of processes; the generation may be any. */
bool upgrade_concerns(const struct generation *generation);
void upgrade_read_reports(struct generation *generation);
/* Its keeper has ended (->keeper is 0 already), so nothing of it is left. The caller frees it. */
void upgrade_generation_gone(struct generation *generation);
bool upgrade_reaped(pid_t pid, int status);

/* A generation has been freed: if that was the last one that had to end first, the next is started. */
void upgrade_go_on(void);

/*
 * The instance ends: a next generation beside a current one is killed; one that is alone becomes
 * the current one, and so does an old one that could still accept.  Nothing more is told.
 */
void upgrade_abandon(void);
