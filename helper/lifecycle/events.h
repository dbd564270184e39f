/* SPDX-License-Identifier: MIT */
/* The events of an instance: the columns of the table in transitions.c. */
#pragma once

#include <stdbool.h>

struct upgrade_request;

enum event {
	EVENT_NONE,

	/* An operator, by a command or a signal. */
	EVENT_UPGRADE,
	EVENT_STOP,
	EVENT_STOP_NOW,

	/* The generation that is being started, or that is on probation: "the next one". */
	EVENT_READY,
	EVENT_NOT_READY_IN_TIME,
	EVENT_NEXT_MAIN_EXITED,  /* its first process has ended */
	EVENT_NEXT_KEEPER_ENDED, /* all its processes have ended; it is still in the list */
	EVENT_NEXT_REMOVED,      /* it is no longer in the list */
	EVENT_PROBATION_OVER,

	/* Processes of other generations. */
	EVENT_CURRENT_MAIN_EXITED, /* the first process of the current generation has ended */
	EVENT_CURRENT_REMOVED,     /* all have, and it is no longer in the list */
	EVENT_DESERTED,  /* what is left of it does not accept, and no restart is wanted */
	EVENT_NONE_LEFT, /* no generation is left */

	EVENT_RESTART_DUE,
	EVENT_QUEUES_EMPTY, /* or the time for them is over */

	/* Results of actions: an action returns one of these, or EVENT_NONE. */
	EVENT_STARTED,           /* the next generation is being started */
	EVENT_VACATING,          /* no generation may be left when the next one starts */
	EVENT_SWITCHED,          /* the next one serves, and there is nothing to roll back to */
	EVENT_ON_PROBATION,      /* the next one serves, and may be rolled back */
	EVENT_FAILED,            /* the next one has failed: struct attempt has the reason */
	EVENT_SOMEONE_SERVES,    /* an older generation has become the current one */
	EVENT_NOBODY_SERVES,     /* no older generation could */
	EVENT_RESTART_SCHEDULED, /* EVENT_RESTART_DUE follows in time */
	EVENT_RESTART_OWED,      /* a start has failed that took the place of a restart */
	EVENT_GIVE_UP,           /* the instance ends */
	EVENTS
};

/*
 * An event, with the data that its action needs.  The actions of the events that follow get the
 * same struct.
 */
struct happening {
	enum event event;
	struct upgrade_request *request; /* UPGRADE: helper/lifecycle/refusal.h */
	bool failed;                     /* CURRENT_REMOVED: for --restart=on-failure */
};
