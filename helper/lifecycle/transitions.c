/* SPDX-License-Identifier: MIT */
/*
 * The state machine of an instance and of its generations.
 *
 * ---- The instance ----
 *
 *  A generation serves:
 *
 *               upgrade, restart              ready               300 ms
 *    SERVING ---------------------> UPGRADING ------> PROBATION ----------> SERVING
 *       ^                               | failed          | failed
 *       |       it is gone              v                 |
 *       +--------------------------- FAILING <------------+
 *
 *  No generation serves:
 *
 *              none is left            ready
 *    VACATING -------------> STARTING -------> PROBATION if there is a program to go back to,
 *       ^                     |    ^           else SERVING
 *       | once: the           |    |
 *       | old program         |    +--------------- WAITING
 *       | again               v failed   restart       ^
 *       +-------------- FAILING_ALONE -----------------+
 *          it is gone                   it is gone
 *
 *  From one to the other:
 *
 *    SERVING, WAITING -> VACATING
 *                                by an upgrade or a restart with --no-overlap
 *    SERVING -> WAITING, the end, or SERVING if an older generation serves again:
 *                                when the current generation has ended
 *    UPGRADING -> STARTING, FAILING -> FAILING_ALONE: likewise, if no older one serves again
 *    PROBATION -> FAILING_ALONE  by a failure, if no older generation can serve again
 *    VACATING -> WAITING         if neither program can be started, and a restart is wanted
 *    FAILING_ALONE, VACATING, WAITING -> DRAINING: if nothing is to be started any more
 *    SERVING -> CLOSING          when what is left of the current generation does not accept
 *
 *  The end:
 *
 *    stop, in any state above: CLOSING -- queues are empty --> DRAINING -- none is left --> the end
 *    stop --now, in any state:  STOPPING -- none is left --> the end
 *
 * The first start, an upgrade and a restart are the same steps, with or without a current
 * generation beside them.  One runs at a time.
 *
 *    first start   STARTING, SERVING
 *    upgrade       SERVING, UPGRADING, PROBATION, SERVING
 *    no overlap    SERVING, VACATING, STARTING, PROBATION, SERVING
 *    failure       UPGRADING, FAILING, SERVING: the current generation has not noticed anything.
 *                  PROBATION, FAILING, SERVING: the old one gets its listeners back first
 *    the same,     STARTING or PROBATION, FAILING_ALONE, VACATING, STARTING, SERVING: the old
 *     no overlap   program runs again, and the upgrade counts as failed
 *    crash         SERVING, WAITING, STARTING, SERVING
 *
 * A cell that is not in the table cannot happen.  If it does, that is a bug: the launcher logs it
 * and goes on as if nothing had happened, for it must not die.
 *
 * ---- A generation ----
 *
 *            switched to            replaced               probation over
 *   WARMING ------------> CURRENT ------------> STANDBY -------------------> DRAINING
 *     |                   |   ^                    |                            |
 *     |                   |   +---- resumes -------+----------------------------+
 *     |                   |                                                     |
 *     |                   +--- no overlap ---> VACATING <----- no overlap ------+
 *     |                                            |                            |
 *     |  killed                                    |  no connections, out of time, stop --now
 *     |                        kill-after          v                            |
 *     +------------> KILLED <-------------- STOPPING <--------------------------+
 *
 * A generation is gone when its keeper has ended (helper/process/keeper.h); supervisor.c sees that.
 */
#include "helper/lifecycle/transitions.h"

#include "helper/base/log.h"
#include "helper/lifecycle/actions.h"

static enum event nothing(struct instance *instance, const struct happening *what)
{
	(void)instance;
	(void)what;
	return EVENT_NONE;
}

enum { SAME = INSTANCE_STATES };

struct cell {
	action *action; /* NULL: cannot happen */
	unsigned next;  /* SAME, or the state, which is entered before the action */
};

/* clang-format off */
static const struct cell instance_table[INSTANCE_STATES][EVENTS] = {
	[INSTANCE_STARTING] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close_starting,     INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_READY]               = {takeover_ready,          SAME},
		[EVENT_NOT_READY_IN_TIME]   = {failure_not_ready,       SAME},
		[EVENT_NEXT_MAIN_EXITED]    = {failure_main_exited,     SAME},
		[EVENT_NEXT_KEEPER_ENDED]   = {failure_keeper_ended,    SAME},
		[EVENT_SWITCHED]            = {takeover_commit,         INSTANCE_SERVING},
		[EVENT_ON_PROBATION]        = {takeover_probation,      INSTANCE_PROBATION},
		[EVENT_FAILED]              = {rollback_kill,           INSTANCE_FAILING_ALONE},
	},
	[INSTANCE_SERVING] = {
		[EVENT_UPGRADE]             = {operator_upgrade,        SAME},
		[EVENT_STOP]                = {stop_close,              INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_CURRENT_MAIN_EXITED] = {restart_main_exited,     SAME},
		[EVENT_CURRENT_REMOVED]     = {rollback_resume_older,   SAME},
		[EVENT_DESERTED]            = {stop_close,              INSTANCE_CLOSING},
		[EVENT_RESTART_DUE]         = {restart_begin,           SAME},
		[EVENT_STARTED]             = {nothing,                 INSTANCE_UPGRADING},
		[EVENT_VACATING]            = {nothing,                 INSTANCE_VACATING},
		[EVENT_SOMEONE_SERVES]      = {restart_beside,          SAME},
		[EVENT_RESTART_OWED]        = {restart_beside,          SAME},
		[EVENT_NOBODY_SERVES]       = {restart_decide,          SAME},
		[EVENT_RESTART_SCHEDULED]   = {nothing,                 INSTANCE_WAITING},
		[EVENT_GIVE_UP]             = {stop_give_up,            INSTANCE_DRAINING},
	},
	[INSTANCE_UPGRADING] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close,              INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_READY]               = {takeover_ready,          SAME},
		[EVENT_NOT_READY_IN_TIME]   = {failure_not_ready,       SAME},
		[EVENT_NEXT_MAIN_EXITED]    = {failure_main_exited,     SAME},
		[EVENT_NEXT_KEEPER_ENDED]   = {failure_keeper_ended,    SAME},
		[EVENT_CURRENT_MAIN_EXITED] = {restart_main_exited,     SAME},
		[EVENT_CURRENT_REMOVED]     = {rollback_resume_older,   SAME},
		[EVENT_ON_PROBATION]        = {takeover_probation,      INSTANCE_PROBATION},
		[EVENT_FAILED]              = {rollback_kill,           INSTANCE_FAILING},
		[EVENT_SOMEONE_SERVES]      = {restart_owe,             SAME},
		[EVENT_NOBODY_SERVES]       = {nothing,                 INSTANCE_STARTING},
	},
	[INSTANCE_PROBATION] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close_probation,    INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_NEXT_MAIN_EXITED]    = {failure_main_exited,     SAME},
		[EVENT_NEXT_KEEPER_ENDED]   = {failure_keeper_ended,    SAME},
		[EVENT_PROBATION_OVER]      = {takeover_commit,         INSTANCE_SERVING},
		[EVENT_FAILED]              = {rollback_resume_standby, SAME},
		[EVENT_SOMEONE_SERVES]      = {rollback_kill,           INSTANCE_FAILING},
		[EVENT_NOBODY_SERVES]       = {rollback_kill,           INSTANCE_FAILING_ALONE},
	},
	[INSTANCE_FAILING] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close,              INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_NEXT_MAIN_EXITED]    = {nothing,                 SAME},
		[EVENT_NEXT_KEEPER_ENDED]   = {nothing,                 SAME},
		[EVENT_NEXT_REMOVED]        = {rollback_finish,         INSTANCE_SERVING},
		[EVENT_CURRENT_MAIN_EXITED] = {restart_main_exited,     SAME},
		[EVENT_CURRENT_REMOVED]     = {rollback_resume_older,   SAME},
		[EVENT_SOMEONE_SERVES]      = {restart_owe,             SAME},
		[EVENT_NOBODY_SERVES]       = {nothing,                 INSTANCE_FAILING_ALONE},
	},
	[INSTANCE_FAILING_ALONE] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close,              INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_NEXT_MAIN_EXITED]    = {nothing,                 SAME},
		[EVENT_NEXT_KEEPER_ENDED]   = {nothing,                 SAME},
		[EVENT_NEXT_REMOVED]        = {rollback_finish_alone,   SAME},
		[EVENT_VACATING]            = {nothing,                 INSTANCE_VACATING},
		[EVENT_RESTART_SCHEDULED]   = {nothing,                 INSTANCE_WAITING},
		[EVENT_GIVE_UP]             = {stop_give_up,            INSTANCE_DRAINING},
	},
	[INSTANCE_VACATING] = {
		[EVENT_UPGRADE]             = {refusal_busy,            SAME},
		[EVENT_STOP]                = {stop_close_vacating,     INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_NONE_LEFT]           = {attempt_start_vacated,   SAME},
		[EVENT_STARTED]             = {nothing,                 INSTANCE_STARTING},
		[EVENT_NOBODY_SERVES]       = {restart_decide,          SAME},
		[EVENT_RESTART_SCHEDULED]   = {nothing,                 INSTANCE_WAITING},
		[EVENT_GIVE_UP]             = {stop_give_up,            INSTANCE_DRAINING},
	},
	[INSTANCE_WAITING] = {
		[EVENT_UPGRADE]             = {operator_upgrade,        SAME},
		[EVENT_STOP]                = {stop_close,              INSTANCE_CLOSING},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_RESTART_DUE]         = {restart_begin,           SAME},
		[EVENT_NONE_LEFT]           = {nothing,                 SAME},
		[EVENT_STARTED]             = {nothing,                 INSTANCE_STARTING},
		[EVENT_VACATING]            = {nothing,                 INSTANCE_VACATING},
		[EVENT_GIVE_UP]             = {stop_give_up,            INSTANCE_DRAINING},
	},
	[INSTANCE_CLOSING] = {
		[EVENT_UPGRADE]             = {refusal_stopping,        SAME},
		[EVENT_STOP]                = {nothing,                 SAME},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_CURRENT_MAIN_EXITED] = {nothing,                 SAME},
		[EVENT_CURRENT_REMOVED]     = {stop_drain,              INSTANCE_DRAINING},
		[EVENT_QUEUES_EMPTY]        = {stop_drain,              INSTANCE_DRAINING},
		[EVENT_NONE_LEFT]           = {stop_end,                SAME},
	},
	[INSTANCE_DRAINING] = {
		[EVENT_UPGRADE]             = {refusal_stopping,        SAME},
		[EVENT_STOP]                = {nothing,                 SAME},
		[EVENT_STOP_NOW]            = {stop_now,                INSTANCE_STOPPING},
		[EVENT_NONE_LEFT]           = {stop_end,                SAME},
	},
	[INSTANCE_STOPPING] = {
		[EVENT_UPGRADE]             = {refusal_stopping,        SAME},
		[EVENT_STOP]                = {nothing,                 SAME},
		[EVENT_STOP_NOW]            = {stop_now,                SAME},
		[EVENT_CURRENT_MAIN_EXITED] = {nothing,                 SAME},
		[EVENT_CURRENT_REMOVED]     = {nothing,                 SAME},
		[EVENT_NONE_LEFT]           = {stop_end,                SAME},
	},
};

static const char *const state_names[INSTANCE_STATES] = {
	[INSTANCE_STARTING]      = "starting",
	[INSTANCE_SERVING]       = "serving",
	[INSTANCE_UPGRADING]     = "upgrading",
	[INSTANCE_PROBATION]     = "probation",
	[INSTANCE_FAILING]       = "failing",
	[INSTANCE_FAILING_ALONE] = "failing alone",
	[INSTANCE_VACATING]      = "vacating",
	[INSTANCE_WAITING]       = "waiting",
	[INSTANCE_CLOSING]       = "closing",
	[INSTANCE_DRAINING]      = "draining",
	[INSTANCE_STOPPING]      = "stopping",
};

static const char *const event_names[EVENTS] = {
	[EVENT_UPGRADE]             = "upgrade",
	[EVENT_STOP]                = "stop",
	[EVENT_STOP_NOW]            = "stop now",
	[EVENT_READY]               = "ready",
	[EVENT_NOT_READY_IN_TIME]   = "not ready in time",
	[EVENT_NEXT_MAIN_EXITED]    = "next main exited",
	[EVENT_NEXT_KEEPER_ENDED]   = "next keeper ended",
	[EVENT_NEXT_REMOVED]        = "next removed",
	[EVENT_PROBATION_OVER]      = "probation over",
	[EVENT_CURRENT_MAIN_EXITED] = "current main exited",
	[EVENT_CURRENT_REMOVED]     = "current removed",
	[EVENT_DESERTED]            = "deserted",
	[EVENT_NONE_LEFT]           = "none left",
	[EVENT_RESTART_DUE]         = "restart due",
	[EVENT_QUEUES_EMPTY]        = "queues empty",
	[EVENT_STARTED]             = "started",
	[EVENT_VACATING]            = "vacating",
	[EVENT_SWITCHED]            = "switched",
	[EVENT_ON_PROBATION]        = "on probation",
	[EVENT_FAILED]              = "failed",
	[EVENT_SOMEONE_SERVES]      = "someone serves",
	[EVENT_NOBODY_SERVES]       = "nobody serves",
	[EVENT_RESTART_SCHEDULED]   = "restart scheduled",
	[EVENT_RESTART_OWED]        = "restart owed",
	[EVENT_GIVE_UP]             = "give up",
};

enum { NEVER_HAPPENS, STAYS, TO }; /* TO + a state */

static const unsigned char generation_table[GENERATION_STATES][GENERATION_EVENTS] = {
	[GENERATION_WARMING] = {
		[GENERATION_SWITCHED] = TO + GENERATION_CURRENT,
		[GENERATION_STOPS]    = TO + GENERATION_STOPPING,
		[GENERATION_ENDS]     = TO + GENERATION_KILLED,
	},
	[GENERATION_CURRENT] = {
		[GENERATION_REPLACED] = TO + GENERATION_STANDBY,
		[GENERATION_DRAINS]   = TO + GENERATION_DRAINING,
		[GENERATION_VACATES]  = TO + GENERATION_VACATING,
		[GENERATION_STOPS]    = TO + GENERATION_STOPPING,
		[GENERATION_ENDS]     = TO + GENERATION_KILLED,
	},
	[GENERATION_STANDBY] = {
		[GENERATION_DRAINS]   = TO + GENERATION_DRAINING,
		[GENERATION_RESUMES]  = TO + GENERATION_CURRENT,
		[GENERATION_STOPS]    = TO + GENERATION_STOPPING,
	},
	[GENERATION_DRAINING] = {
		[GENERATION_VACATES]  = TO + GENERATION_VACATING,
		[GENERATION_RESUMES]  = TO + GENERATION_CURRENT,
		[GENERATION_STOPS]    = TO + GENERATION_STOPPING,
	},
	[GENERATION_VACATING] = {
		[GENERATION_DRAINS]   = TO + GENERATION_DRAINING,
		[GENERATION_RESUMES]  = TO + GENERATION_CURRENT,
		[GENERATION_STOPS]    = TO + GENERATION_STOPPING,
	},
	[GENERATION_STOPPING] = {
		[GENERATION_VACATES]  = STAYS,
		[GENERATION_STOPS]    = STAYS,
		[GENERATION_ENDS]     = TO + GENERATION_KILLED,
	},
	[GENERATION_KILLED] = {
		[GENERATION_VACATES]  = STAYS,
		[GENERATION_STOPS]    = STAYS,
		[GENERATION_ENDS]     = STAYS,
	},
};
/* clang-format on */

void transitions_happen(struct instance *instance, const struct happening *what)
{
	enum event event = what->event;
	while (event != EVENT_NONE) {
		const struct cell *cell = &instance_table[instance->state][event];
		const char *state = state_names[instance->state];
		if (!cell->action) {
			log_error("internal error: %s cannot happen while %s; ignored",
			        event_names[event], state);
			return;
		}
		log_debug("%s, while %s", event_names[event], state);
		if (cell->next != SAME)
			instance_set_state(instance, (enum instance_state)cell->next);
		event = cell->action(instance, what);
	}
}

static const char *const generation_names[GENERATION_STATES] = {
        "warming", "current", "standby", "draining", "vacating", "stopping", "killed"};
static const char *const generation_event_names[GENERATION_EVENTS] = {
        "switched", "replaced", "drains", "vacates", "resumes", "stops", "ends"};

bool transitions_move(struct generation *generation, enum generation_event event)
{
	unsigned to = generation_table[generation->state][event];
	if (to == NEVER_HAPPENS)
		log_error("internal error: generation %u: %s cannot happen while %s; ignored",
		        generation->id, generation_event_names[event],
		        generation_names[generation->state]);
	if (to < TO)
		return false;
	generation->state = (enum generation_state)(to - TO);
	return true;
}
