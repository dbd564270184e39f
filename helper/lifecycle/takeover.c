/* SPDX-License-Identifier: MIT */
/* The next generation becomes the current one: the switch and the probation. */
#include "helper/lifecycle/takeover.h"

#include <stdio.h>
#include <string.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/lifecycle/abilities.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/restart.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"
#include "helper/switch/switch.h"

/* Most versions that cannot serve fail with their first connections. */
static const nanoseconds PROBATION = 300 * MILLISECOND;

/* The listeners that the switch is about to open, and those whose gates are open already. */
static void print_listeners(
        struct instance *instance, const struct generation *generation, char *text, size_t size)
{
	static bool which[MOULT_LISTENERS];
	for (uint32_t i = 0; i < instance->store.count; i++)
		which[i] = switch_is_due(instance, generation, i) ||
		           (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_OPEN);
	instance_print_listeners(instance, which, text, size);
}

/*
 * Listens on sockets whose listen() was put off until the switch, for they overlap an address that
 * the current generation serves.  On failure `name` is the address.  0 or -errno.
 */
static int begin_to_listen(
        struct instance *instance, const struct generation *generation, char *name, size_t size)
{
	int result = 0;
	for (uint32_t i = 0; i < instance->store.count && result == 0; i++) {
		struct listener *listener = instance_listener(instance, i);
		if (!generation->holds[i] || !listener->deferred)
			continue;
		listener_print(listener, name, size);
		result = listener_begin(listener);
	}
	return result;
}

/*
 * The order matters: begin_to_listen() may fail and so comes before anything changes; the switch
 * reads the states and copies the options, so these come before it; `awaits_turn` keeps gates shut
 * until the switch has opened them.
 */
enum event takeover_switch(struct instance *instance)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation, *old = instance->current;
	char name[LISTENER_TEXT], time[32];
	int result = begin_to_listen(instance, generation, name, sizeof(name));
	if (result < 0)
		return attempt_fail(instance, EXIT_FAILED, "%s: %s", name, strerror(-result));
	for (uint32_t i = 0; old && i < instance->store.count; i++)
		if (generation->holds[i])
			listener_remember_options(instance_listener(instance, i));
	nanoseconds vacant = now() - instance->vacant_since;
	transitions_move(generation, GENERATION_SWITCHED);
	instance_set_current(instance, generation);
	if (old)
		transitions_move(old, GENERATION_REPLACED);
	nanoseconds waited = switch_to(instance, generation);
	/* What the next generation accepts before this count is in it: helper/state/remains.h */
	if (old && !abilities_see_all())
		(void)survey_begin(old, true);
	attempt->former_retire_at = instance->retire_at;
	moves_begin(instance, settings_retire_after(&generation->settings));
	if (old)
		log_debug("generation %u: open, generation %u: last accept after %lld us",
		        generation->id, old->id, (long long)(waited / 1000));
	if (attempt->vacated) {
		duration_print(vacant, time, sizeof(time));
		log_notice("generation %u: clients have waited for up to %s", generation->id, time);
	}
	generation->awaits_turn = false;
	return old || fallback_is_left(&attempt->fallback) ? EVENT_ON_PROBATION : EVENT_SWITCHED;
}

enum event takeover_ready(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation;
	char time[32], names[300];
	(void)what;
	generation->ready = now();
	generation->is_ready = true;
	loop_cancel(&attempt->ready_timeout);
	loop_cancel(&attempt->hint);
	duration_print(generation->ready - generation->started, time, sizeof(time));
	print_listeners(instance, generation, names, sizeof(names));
	if (!names[0])
		log_notice("generation %u: ready after %s, without a listening socket that moult "
		           "could hand over",
		        generation->id, time);
	else
		log_notice("generation %u: %s %s, ready after %s", generation->id,
		        instance->current || attempt->vacated ? "took over" : "listens on", names,
		        time);
	return takeover_switch(instance);
}

/*
 * Timers fire before other events are handled, and the launcher may have been stopped: the new
 * generation may have ended without the launcher having been told.
 */
static void probation_over(void *context)
{
	struct instance *instance = context;
	struct generation *generation = instance->attempt->generation;
	attempt_read_reports(generation);
	if (instance->state != INSTANCE_PROBATION)
		return;
	if (generation_has_ended(generation)) /* SIGCHLD follows */
		loop_after(&instance->attempt->probation, MILLISECOND);
	else
		transitions_event(instance, EVENT_PROBATION_OVER);
}

enum event takeover_probation(struct instance *instance, const struct happening *what)
{
	struct timer *probation = &instance->attempt->probation;
	(void)what;
	probation->fire = probation_over;
	probation->context = instance;
	loop_after(probation, PROBATION);
	return EVENT_NONE;
}

/*
 * The generation that has been replaced need not be the newest of the older ones: it may have
 * served again after a newer one had ended.
 */
static void begin_drain_of_old(struct instance *instance, const struct generation *generation)
{
	struct generation *oldest = NULL, *replaced = NULL;
	int draining = 0;
	for (struct generation *g = generation->older; g; g = g->older) {
		draining += generation_is_replaced(g);
		if (g->state == GENERATION_STANDBY)
			replaced = g;
		else if (generation_is_replaced(g))
			oldest = g;
	}
	if (replaced)
		drain_begin(instance, replaced);
	if (draining > generation->settings.max_draining && oldest) {
		log_notice("generation %u: stopping, the oldest of more than %d that drain "
		           "(--max-draining)",
		        oldest->id, generation->settings.max_draining);
		/* Its clients wait until the current generation takes the listeners. */
		switch_off(instance, oldest);
		drain_stop(oldest, oldest->settings.kill_after);
	}
}

/* The defaults of the next upgrade, and what a restart starts. */
static void keep_settings(struct instance *instance, const struct settings *settings)
{
	struct settings kept = {0};
	if (settings_copy(&kept, settings) < 0) {
		settings_deinit(&kept);
		log_error("out of memory: the new settings are not kept; a restart, or an "
		          "upgrade without a command line, starts the previous program");
		return;
	}
	settings_deinit(&instance->settings);
	instance->settings = kept;
}

/*
 * From here on there is no way back to the old generation.  Listeners move first, so that the old
 * generation does not refuse clients at those when its drain begins.
 */
enum event takeover_commit(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation;
	(void)what;
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_forget_options(instance_listener(instance, i));
	aside_keep();
	keep_settings(instance, &generation->settings);
	moves_now(instance);
	begin_drain_of_old(instance, generation);
	if (!instance_is_ending(instance))
		moves_report(instance);
	if (attempt->fallback.in_use) {
		attempt_finish(instance, attempt->exit_status);
		return EVENT_NONE;
	}
	if (attempt->kind == ATTEMPT_UPGRADE)
		restart_forget();
	instance->upgrades.last_generation = generation->id;
	attempt_finish(instance, EXIT_DONE);
	return EVENT_NONE;
}
