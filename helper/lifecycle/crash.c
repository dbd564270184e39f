/* SPDX-License-Identifier: MIT */
/* The current generation has ended, or its first process: is the program started again? */
#include "helper/lifecycle/crash.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

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

bool crash_cancel(void)
{
	bool was_due = restart_timer.armed;
	loop_cancel(&restart_timer);
	return was_due;
}

void crash_forget(void)
{
	restart_delay = RESTART_FIRST;
}

void crash_forget_if_old(const struct generation *generation)
{
	if (generation->is_ready && now() - generation->ready > RESTART_MOST)
		crash_forget();
}

bool crash_has_failed(const struct generation *generation)
{
	return !generation->main_exited || !WIFEXITED(generation->main_status) ||
	       WEXITSTATUS(generation->main_status) != 0;
}

static void restart_is_due(void *context)
{
	transitions_event(context, EVENT_RESTART_DUE);
}

void crash_schedule(struct instance *instance)
{
	char time[32];
	restart_timer.fire = restart_is_due;
	restart_timer.context = instance;
	duration_print(restart_delay, time, sizeof(time));
	log_notice("starting again in %s", time);
	loop_after(&restart_timer, restart_delay);
	restart_delay = restart_delay * 2 < RESTART_MOST ? restart_delay * 2 : RESTART_MOST;
}

enum event crash_restart(struct instance *instance, const struct happening *what)
{
	enum event event = EVENT_NONE;
	(void)what;
	int result = attempt_begin(instance, ATTEMPT_RESTART, &instance->settings, &event);
	if (result < 0) {
		log_error("cannot start the program again: %s", strerror(-result));
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

/* A start that has failed counts as a failure. */
static bool is_failure(const struct happening *what)
{
	return what->event != EVENT_CURRENT_GONE || what->failed;
}

enum event crash_replace(struct instance *instance, const struct happening *what)
{
	if (wants_restart(instance, is_failure(what)))
		crash_schedule(instance);
	return EVENT_NONE;
}

enum event crash_decide(struct instance *instance, const struct happening *what)
{
	bool failed = is_failure(what);
	if (wants_restart(instance, failed)) {
		crash_schedule(instance);
		return EVENT_RESTART;
	}
	instance->exit_status = failed ? EXIT_FAILED : EXIT_DONE;
	return EVENT_GIVE_UP;
}

/*
 * The first process of the current generation has ended and other processes are left.  Three cases:
 *   - the parent of a daemon that went into the background: it exited soon and with status 0, and a
 *     child holds the listeners.  Nothing has to be done;
 *   - the master of prefork workers: the workers go on accepting;
 *   - otherwise nobody accepts.  The processes that are left finish their connections.
 */
static void look(void *context)
{
	struct generation *generation = context;
	struct instance *instance = generation->instance;
	char how[64];
	bool failed = crash_has_failed(generation);
	siginfo_t keeper = {0};
	if (generation != instance->current || instance_is_ending(instance))
		return;
	/* The launcher may have been stopped: the keeper has ended and SIGCHLD is not read yet. */
	if (waitid(P_PID, (id_t)generation->keeper, &keeper, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	        keeper.si_pid)
		return;
	bool holds = survey_holds_any(generation);
	/* A start: afterwards another one may be current.  A survey: `holds` is a guess yet. */
	if (instance_is_busy(instance) || (holds && survey_is_looking(generation))) {
		loop_after(&generation->aftermath, 200 * MILLISECOND);
		return;
	}
	bool young = !generation->is_ready || now() - generation->ready < BACKGROUND_PATIENCE;
	if (holds && !failed && young)
		return;
	bool serves = holds && generation_has_workers(generation);
	status_print(generation->main_status, how, sizeof(how));
	log_error("generation %u: its first process %s; %s", generation->id, how,
	        serves ? "others of it serve on" : "what is left of it does not accept");
	if (!serves)
		instance->vacant_since = generation->main_ended;
	if (wants_restart(instance, failed)) {
		crash_schedule(instance);
	} else if (!serves) {
		instance->exit_status = failed ? EXIT_FAILED : EXIT_DONE;
		transitions_event(instance, EVENT_DESERTED);
	}
}

/*
 * Looks after 50 ms: if this was the last process of the generation, its keeper has ended by then,
 * and the end of the generation is handled as such.
 */
enum event crash_exited(struct instance *instance, const struct happening *what)
{
	struct generation *generation = instance->current;
	(void)what;
	generation->aftermath.fire = look;
	generation->aftermath.context = generation;
	loop_after(&generation->aftermath, 50 * MILLISECOND);
	return EVENT_NONE;
}
