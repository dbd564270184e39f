/* SPDX-License-Identifier: MIT */
/*
 * The actions of the table in transitions.c.  Each is called when its event has happened, after the
 * state has changed, and returns the event that follows at once, or EVENT_NONE.
 */
#pragma once

#include "helper/lifecycle/events.h"

struct instance;

typedef enum event action(struct instance *instance, const struct happening *what);

/* refusal.c: an upgrade that cannot begin now. */
action refusal_busy;
action refusal_stopping;

/* operator.c: an upgrade begins, unless it is refused. */
action operator_upgrade;

/* attempt.c: one start. */
action attempt_start_vacated; /* --no-overlap: all generations have ended, the next one starts */

/* failure.c: has the next generation failed? */
action failure_not_ready;
action failure_main_exited;
action failure_keeper_ended;

/* takeover.c: the next generation becomes the current one. */
action takeover_ready;
action takeover_probation;
action takeover_commit;

/* rollback.c: the next generation has failed. */
action rollback_resume_standby;
action rollback_resume_older; /* the current one has ended: the newest older one that can serves */
action rollback_kill;
action rollback_finish;
action rollback_finish_alone;

/* restart.c: the current generation has ended, or its first process. */
action restart_main_exited;
action restart_beside; /* an older one serves in its place: is a restart wanted all the same? */
action restart_decide; /* no generation serves: a restart, or the end */
action restart_owe;    /* the same during a start: decided when the start has failed */
action restart_begin;

/* stop.c: the instance ends. */
action stop_close;
action stop_close_starting;
action stop_close_probation;
action stop_close_vacating;
action stop_drain;
action stop_now;
action stop_give_up; /* the program has ended and is not started again */
action stop_end;
