/* SPDX-License-Identifier: MIT */
/* The current generation has ended, or its first process: is the program started again? */
#include "helper/lifecycle/restart.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/attempt.h"
#include "helper/state/survey.h"

static const nanoseconds RESTART_FIRST = 100 * MILLISECOND;
static const nanoseconds RESTART_MOST = 10 * SECOND;
/* A daemon that goes into the background: its parent exits within this time after readiness. */
static const nanoseconds BACKGROUND_PATIENCE = 5 * SECOND;

static struct timer restart_timer;
static nanoseconds restart_delay = RESTART_FIRST;

bool restart_cancel(void)
{
	bool was_due = restart_timer.armed;
	loop_cancel(&restart_timer);
	return was_due;
}

void restart_forget(void)
{
	restart_delay = RESTART_FIRST;
}

void restart_forget_if_old(const struct generation *generation)
{
	if (generation->is_ready && now() - generation->ready > RESTART_MOST)
		restart_forget();
}

static void restart_is_due(void *context)
{
	transitions_event(context, EVENT_RESTART_DUE);
}

void restart_schedule(struct instance *instance)
{
	char time[32];
	restart_timer.fire = restart_is_due;
	restart_timer.context = instance;
	duration_print(restart_delay, time, sizeof(time));
	log_notice("starting again in %s", time);
	loop_after(&restart_timer, restart_delay);
	restart_delay = restart_delay * 2 < RESTART_MOST ? restart_delay * 2 : RESTART_MOST;
}

enum event restart_begin(struct instance *instance, const struct happening *what)
{
	enum event event = EVENT_NONE;
	(void)what;
	int result = attempt_begin(instance, ATTEMPT_RESTART, &instance->settings, &event);
	if (result < 0) {
		log_error("cannot start the program again: %s", strerror(-result));
		/* The library was replaced.  A new launcher can start the program, this one never. */
		if (result == -EPROTO && !instance->current) {
			instance->exit_status = EXIT_FAILED;
			return EVENT_GIVE_UP;
		}
		loop_after(&restart_timer, RESTART_MOST);
		return EVENT_NONE;
	}
	return event;
}

static bool wants_restart(const struct instance *instance, bool failed)
{
	return instance->settings.restart == RESTART_ALWAYS ||
	       (instance->settings.restart == RESTART_ON_FAILURE && failed);
}

/* Everything but a clean end of the current generation is a failure. */
static bool is_failure(const struct happening *what)
{
	return what->event != EVENT_CURRENT_REMOVED || what->failed;
}

enum event restart_beside(struct instance *instance, const struct happening *what)
{
	if (!restart_timer.armed && wants_restart(instance, is_failure(what)))
		restart_schedule(instance);
	return EVENT_NONE;
}

enum event restart_owe(struct instance *instance, const struct happening *what)
{
	instance->attempt->owes_restart |= wants_restart(instance, is_failure(what));
	return EVENT_NONE;
}

enum event restart_decide(struct instance *instance, const struct happening *what)
{
	bool failed = is_failure(what);
	if (restart_timer.armed)
		return EVENT_RESTART_SCHEDULED;
	if (wants_restart(instance, failed)) {
		restart_schedule(instance);
		return EVENT_RESTART_SCHEDULED;
	}
	instance->exit_status = failed ? EXIT_FAILED : EXIT_DONE;
	return EVENT_GIVE_UP;
}

/*
 * The first process of the current generation has ended and other processes are left.  Three cases:
 *   - the parent of a daemon that went into the background: it exited soon and with status 0, and a
 *     child holds the listeners.  Nothing has to be done;
 *   - the master of prefork workers: the workers go on accepting;
 *   - otherwise no process accepts.  The processes that are left finish their connections.
 */
static void look_at_rest(void *context)
{
	struct generation *generation = context;
	struct instance *instance = generation->instance;
	char how[64];
	bool failed = generation_has_failed(generation);
	if (generation != instance->current || instance_is_ending(instance))
		return;
	if (generation_has_ended(generation)) /* the launcher was stopped; SIGCHLD follows */
		return;
	if (instance_is_busy(instance)) { /* afterwards another generation may be current */
		loop_after(&generation->aftermath, 200 * MILLISECOND);
		return;
	}
	bool holds = survey_holds_any(generation);
	if (holds && survey_is_looking(generation)) { /* `holds` is only a guess yet */
		loop_after(&generation->aftermath, 200 * MILLISECOND);
		return;
	}
	bool young = !generation->is_ready || now() - generation->ready < BACKGROUND_PATIENCE;
	if (holds && !failed && young)
		return;
	bool serves = holds && generation_has_workers(generation);
	status_print(generation->main_status, how, sizeof(how));
	log_error("generation %u: its first process %s; %s", generation->id, how,
	        serves ? "its other processes serve on" : "its other processes do not accept");
	if (!serves)
		instance->vacant_since = generation->main_ended;
	if (restart_timer.armed)
		return;
	if (wants_restart(instance, failed)) {
		restart_schedule(instance);
	} else if (!serves) {
		instance->exit_status = failed ? EXIT_FAILED : EXIT_DONE;
		transitions_event(instance, EVENT_DESERTED);
	}
}

/*
 * Looks after 50 ms: if this was the last process of the generation, its keeper has ended by then,
 * and the end of the generation is handled as such.
 */
void restart_look(struct generation *generation)
{
	generation->aftermath.fire = look_at_rest;
	generation->aftermath.context = generation;
	loop_after(&generation->aftermath, 50 * MILLISECOND);
}

enum event restart_main_exited(struct instance *instance, const struct happening *what)
{
	(void)what;
	restart_look(instance->current);
	return EVENT_NONE;
}
