/* SPDX-License-Identifier: MIT */
/*
 * From one generation to the next: the first start, an upgrade and a restart are the same act, with
 * or without a generation that serves meanwhile.  One at a time.
 *
 *   start -> (executed) -> ready -> switch -> 300 ms of probation -> completed, the old one drains
 *     any failure before the switch: the next one's processes are killed, nothing else has happened
 *     a failure in the probation: the switch is turned back, then the same
 */
#pragma once

#include "helper/instance.h"

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

/* What the supervisor sees of processes; the generation may be any. */
bool upgrade_concerns(const struct generation *generation);
void upgrade_read_reports(struct generation *generation);
/* Its keeper has ended (->keeper is 0 already), so nothing of it is left. The caller frees it. */
void upgrade_generation_gone(struct generation *generation);
bool upgrade_reaped(pid_t pid, int status);

/*
 * The instance ends: a next generation beside a current one is killed; one that is alone becomes
 * the current one.  Nothing more is told.
 */
void upgrade_abandon(void);
