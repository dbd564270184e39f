/* SPDX-License-Identifier: MIT */
/* A generation has failed, or has ended: what it has changed is undone, and an older one serves. */
#include "helper/lifecycle/rollback.h"

#include <stdio.h>

#include "helper/base/log.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/restart.h"
#include "helper/requests/publish.h"
#include "helper/state/socket_options.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/* ---- an older generation serves again ---- */

/* A generation that got its drain signal may have closed its listeners. */
static bool may_resume(const struct generation *generation)
{
	bool was_told = generation->state != GENERATION_STANDBY &&
	                generation->settings.drain_signal && !generation->drain_signal_due;
	return generation_is_replaced(generation) && (!was_told || generation_waits(generation));
}

/* The one that has just been replaced comes first, though a newer one may drain. */
static struct generation *find_able(const struct instance *instance)
{
	struct generation *able = NULL;
	for (struct generation *g = instance->newest; g; g = g->older) {
		if (g->state == GENERATION_STANDBY)
			return g;
		if (!able && may_resume(g))
			able = g;
	}
	return able;
}

bool rollback_resume(struct instance *instance, struct generation *failed)
{
	struct generation *g = find_able(instance);
	instance_set_current(instance, g);
	if (!g) {
		if (failed)
			(void)switch_off(instance, failed); /* clients wait in the queue */
		return false;
	}
	instance->retire_at = failed ? instance->attempt->former_retire_at
	                             : after(settings_retire_after(&g->settings));
	drain_cancel(g);
	switch_back(instance, failed);
	moves_expect(instance);
	if (g->main_exited) /* perhaps while it was not current: then the end was ignored */
		restart_look(g);
	return true;
}

/* Options are restored before the switch back, which copies them. */
enum event rollback_resume_standby(struct instance *instance, const struct happening *what)
{
	(void)what;
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_restore_options(instance_listener(instance, i));
	return rollback_resume(instance, instance->attempt->generation) ? EVENT_SOMEONE_SERVES
	                                                                : EVENT_NOBODY_SERVES;
}

enum event rollback_resume_older(struct instance *instance, const struct happening *what)
{
	(void)what;
	if (!rollback_resume(instance, NULL))
		return EVENT_NOBODY_SERVES;
	log_notice("generation %u: serves again", instance->current->id);
	return EVENT_SOMEONE_SERVES;
}

/* ---- the failed generation ends ---- */

/* The second half of the log line about a failure: which generation serves now. */
static void consequence(const struct instance *instance, char *text, size_t size)
{
	const struct attempt *attempt = instance->attempt;
	text[0] = '\0';
	if (instance->current)
		snprintf(text, size, "; generation %u %s", instance->current->id,
		        attempt->generation->is_ready ? "serves again" : "still serves");
	else if (fallback_is_left(&attempt->fallback))
		snprintf(text, size, "; the program of generation %u is started again",
		        attempt->fallback.id);
	else if (attempt->kind == ATTEMPT_RESTART)
		snprintf(text, size, "; clients wait in the queue until a start succeeds");
}

enum event rollback_kill(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation;
	char after[100], output[300];
	(void)what;
	attempt_disarm(instance);
	moves_expect(instance); /* what waited for the end of the probation may move now */
	consequence(instance, after, sizeof(after));
	generation_last_output(generation, output, sizeof(output));
	log_error("generation %u: %s%s%s", generation->id, attempt->reason, after, output);
	attempt_note_reason(instance, generation->id, attempt->reason);
	drain_kill(generation);
	return EVENT_NONE;
}

/*
 * Undoes what a failed version has changed of listeners: options it wanted, mode and owner of
 * paths, SO_REUSEPORT.  Sockets that only this version listened on end with it, as they would
 * without us.
 */
static void close_its_own(struct instance *instance, const struct generation *failed)
{
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct listener *listener = instance_listener(instance, i);
		bool held = false;
		listener_set_template_consume(listener, -1);
		listener_restore_mode(listener);
		if (listener->state != LISTENER_GONE)
			socket_set_reuseport(listener->fd, listener->shared);
		for (struct generation *g = instance->newest; g; g = g->older)
			held |= g != failed && g->holds[i];
		if (!held && listener->born == failed->id)
			listener_close(listener);
	}
	publish_addresses(instance);
}

void rollback_undo(struct instance *instance, const struct generation *failed)
{
	if (instance->attempt->kind == ATTEMPT_UPGRADE)
		close_its_own(instance, failed);
	aside_put_back();
}

enum event rollback_finish(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	(void)what;
	attempt_finish(instance, attempt->exit_status);
	/* A restart beside an older one that serves again has failed, or an upgrade in its place. */
	if (attempt->kind == ATTEMPT_RESTART || attempt->owes_restart)
		return EVENT_RESTART_OWED;
	return EVENT_NONE;
}

/*
 * A first start that has failed ends the launcher with the status of that failure, unless it is to
 * be tried again.
 */
enum event rollback_finish_alone(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	int status = attempt->exit_status;
	if (fallback_is_left(&attempt->fallback)) {
		attempt->fallback.in_use = true;
		attempt->generation = NULL;
		return EVENT_VACATING; /* no generation is left, so EVENT_NONE_LEFT follows */
	}
	attempt_finish(instance, status);
	if (attempt->kind != ATTEMPT_START)
		return restart_decide(instance, what);
	enum event event = EVENT_GIVE_UP;
	if (status == EXIT_FAILED && !instance->background)
		event = restart_decide(instance, what);
	if (event == EVENT_GIVE_UP)
		instance->exit_status = status;
	return event;
}

/* ---- the instance ends ---- */

void rollback_abandon(struct instance *instance)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation;
	if (!attempt->is_running)
		return;
	attempt_disarm(instance);
	bool has_failed = generation && generation->state == GENERATION_KILLED;
	if (!has_failed)
		attempt_note_reason(instance, attempt_id(instance), "the instance was stopped");
	if (generation && (instance->current || has_failed)) {
		drain_kill(generation);
		drain_await_kill(generation, SECOND);
		rollback_undo(instance, generation);
	}
	aside_keep(); /* no-op after aside_put_back() */
	attempt_finish(instance, EXIT_FAILED);
}
