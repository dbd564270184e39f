/* SPDX-License-Identifier: MIT */
/*
 * One start of a generation: the first one, an upgrade or a restart.  It lasts from attempt_begin()
 * to attempt_finish(); the states in between are in helper/lifecycle/transitions.c.  One is under
 * way at a time.
 */
#pragma once

#include "helper/base/verb.h"
#include "helper/lifecycle/fallback.h"
#include "helper/lifecycle/readiness.h"
#include "helper/lifecycle/transitions.h"

enum attempt_kind { ATTEMPT_START, ATTEMPT_UPGRADE, ATTEMPT_RESTART };

struct attempt {
	enum attempt_kind kind;
	nanoseconds began;
	struct settings wanted; /* of the next generation */
	bool vacated;           /* --no-overlap: the older generations had to end first */
	struct fallback fallback;
	bool is_running;   /* from attempt_begin() to attempt_finish() */
	bool owes_restart; /* an upgrade began while a restart was due */

	/* Being started, on probation or failing; NULL: none, or not yet. */
	struct generation *generation;
	struct readiness readiness;
	struct timer ready_timeout, probation, hint;
	nanoseconds former_retire_at; /* before the switch: helper/switch/moves.h */

	int watch_error;  /* errno of watching its keeper; 0: it is watched */
	int exit_status;  /* of the first failure: what `moult upgrade` exits with */
	char reason[300]; /* of the last failure */
};

/*
 * Starts the next generation, or lets the older ones end first.  0: *ret_event is EVENT_STARTED or
 * EVENT_VACATING, to be returned by the action.  -errno: nothing has been started or stopped.
 */
int attempt_begin(struct instance *instance, enum attempt_kind kind,
        const struct settings *settings, enum event *ret_event);

/* The id of the generation that is being started, or that will be. */
uint32_t attempt_id(const struct instance *instance);

/* Notes why the generation has failed.  `exit_status` counts at the first failure only. */
enum event attempt_fail(struct instance *instance, int exit_status, const char *format, ...)
        PRINTF(3, 4);

/* Waits no longer for readiness, nor for the end of the probation. */
void attempt_disarm(struct instance *instance);

/*
 * The start is over.  Counts it, and tells the operators who wait for it.  `exit_status` is what
 * `moult upgrade` exits with.
 */
void attempt_finish(struct instance *instance, int exit_status);

/* For the status: the reason of the first failure, and of the second start's failure if any. */
void attempt_note_reason(struct instance *instance, uint32_t generation, const char *reason);

/* Reads what the keeper of any generation has reported. */
void attempt_read_reports(struct generation *generation);
