/* SPDX-License-Identifier: MIT */
/* From one generation to the next. */
#include "helper/lifecycle/upgrade.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/diagnosis.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/readiness.h"
#include "helper/lifecycle/succession.h"
#include "helper/lifecycle/yield.h"
#include "helper/process/preload.h"
#include "helper/process/spawn.h"
#include "helper/requests/channel.h"
#include "helper/requests/publish.h"
#include "helper/state/socket_options.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"
#include "helper/switch/poke.h"
#include "helper/switch/switch.h"

/* Most versions that cannot serve fail with their first connections. */
static const nanoseconds PROBATION = 300 * MILLISECOND;

/*
 *  with overlap, or nothing to end first:
 *  IDLE ----------------------+
 *    |                        |       ready, nothing to roll back to
 *    | no overlap             |  +-----------------------------------> IDLE
 *    v                        v  |
 *  YIELDING ------------> WARMING -----> PROBATION_TIME -------------> IDLE
 *     ^     none is left     |   ready          |    after 300 ms
 *     |                      |                  |
 *     |                      +---- failure -----+----> FAILING ------> IDLE
 *     |                                                   |     its keeper has ended
 *     +------ no overlap, once: the old program again ----+
 *
 *  YIELDING -> IDLE: neither program could be started.  upgrade_abandon() leads from any phase to
 *  IDLE.
 */
enum phase { IDLE, YIELDING, WARMING, PROBATION_TIME, FAILING };

static struct {
	struct instance *instance;
	upgrade_done *done;
	void (*main_ended)(struct generation *);
	enum phase phase;
	enum upgrade_kind kind;
	struct generation *generation;
	struct readiness readiness;
	struct timer ready_timeout, probation, hint;
	struct succession succession;
	nanoseconds began;
	nanoseconds former_retire_at; /* before the switch: helper/switch/moves.h */
	int exit_status;              /* of the first failure */
} state = {.succession = SUCCESSION_NONE};

void upgrade_init(
        struct instance *instance, upgrade_done *done, void (*main_ended)(struct generation *))
{
	state.instance = instance;
	state.done = done;
	state.main_ended = main_ended;
}

bool upgrade_is_running(void)
{
	return state.phase != IDLE;
}

enum upgrade_kind upgrade_running_kind(void)
{
	return state.kind;
}

uint32_t upgrade_running_id(void)
{
	return state.generation ? state.generation->id : state.instance->last_id + 1;
}

/* The defaults of the next upgrade, and what a restart starts. */
static void set_settings(const struct settings *settings)
{
	settings_deinit(&state.instance->settings);
	if (settings_copy(&state.instance->settings, settings) < 0)
		log_error("out of memory: the next upgrade needs its command line again");
}

static void finish(int exit_status)
{
	struct upgrade_counts *counts = &state.instance->upgrades;
	if (state.instance->current) /* otherwise clients still wait and need long queues */
		yield_end(state.instance);
	succession_deinit(&state.succession);
	loop_cancel(&state.ready_timeout);
	loop_cancel(&state.probation);
	loop_cancel(&state.hint);
	if (state.kind == UPGRADE_REQUESTED) {
		counts->any = true;
		counts->last_completed = exit_status == EXIT_DONE;
		counts->completed += exit_status == EXIT_DONE;
		counts->failed += exit_status != EXIT_DONE;
		counts->last_duration = now() - state.began;
		if (exit_status == EXIT_DONE)
			counts->last_reason[0] = '\0';
	}
	state.phase = IDLE;
	state.generation = NULL;
	publish_newness(state.instance, false);
	state.done(state.kind, exit_status);
}

/* For the status: the reason of the first failure, and of the second start's failure if any. */
static void set_reason(uint32_t generation, const char *reason)
{
	struct upgrade_counts *counts = &state.instance->upgrades;
	size_t length = strlen(counts->last_reason);
	if (state.kind != UPGRADE_REQUESTED)
		return;
	if (state.succession.returns) {
		snprintf(counts->last_reason + length, sizeof(counts->last_reason) - length,
		        "; the program of generation %u, started again: %s",
		        state.succession.former_id, reason);
		return;
	}
	snprintf(counts->last_reason, sizeof(counts->last_reason), "%s", reason);
	counts->last_generation = generation;
}

/* The second half of the log line about a failure: which generation serves now. */
static void consequence(char *text, size_t size)
{
	const struct generation *current = state.instance->current;
	const struct succession *succession = &state.succession;
	text[0] = '\0';
	if (current)
		snprintf(text, size, "; generation %u still serves", current->id);
	else if (succession->former_id && !succession->returns)
		snprintf(text, size, "; the program of generation %u is started again",
		        succession->former_id);
	else if (state.kind == UPGRADE_RESTART)
		snprintf(text, size, "; clients wait in the queue until a start succeeds");
}

PRINTF(2, 3) static void fail(int exit_status, const char *format, ...)
{
	struct instance *instance = state.instance;
	struct generation *generation = state.generation;
	char reason[300], after[100], output[300];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(reason, sizeof(reason), format, arguments);
	va_end(arguments);

	readiness_deinit(&state.readiness);
	loop_cancel(&state.ready_timeout);
	loop_cancel(&state.probation);
	loop_cancel(&state.hint);
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_restore_options(instance_listener(instance, i));
	/* After the switch: the newest draining generation becomes the current one again. */
	if (state.phase == PROBATION_TIME && instance->current == generation) {
		struct generation *old = generation->older;
		while (old && old->state != GENERATION_DRAINING)
			old = old->older;
		instance->current = old;
		state.succession.vacant_since = now();
		if (old) {
			instance->retire_at = state.former_retire_at;
			drain_cancel(old);
			switch_back(instance, generation);
			set_settings(&old->settings);
		} else if (state.succession.former_id) {
			(void)switch_off(instance, generation); /* clients wait in the queue */
			set_settings(&state.succession.former);
			instance_set_state(instance, INSTANCE_STARTING);
		}
	}
	instance->next = NULL;
	instance->on_probation = false;
	moves_expect(instance);
	state.phase = FAILING;
	if (!state.succession.returns)
		state.exit_status = exit_status;
	consequence(after, sizeof(after));
	generation_last_output(generation, output, sizeof(output));
	log_error("generation %u: %s%s%s", generation->id, reason, after, output);
	set_reason(generation->id, reason);
	drain_kill(generation); /* the keeper's exit leads to upgrade_generation_gone() */
}

/* ---- ready ---- */

static void begin_drain_of_old(const struct generation *generation)
{
	struct generation *old = generation->older;
	while (old && old->state != GENERATION_DRAINING)
		old = old->older;
	unsigned draining = 0;
	struct generation *oldest = NULL;
	for (struct generation *g = old; g; g = g->older)
		if (g->state == GENERATION_DRAINING) {
			draining++;
			oldest = g;
		}
	if (old) {
		if (!old->drain.armed) /* armed: it drained before this upgrade */
			drain_begin(state.instance, old);
		if (draining > (unsigned)generation->settings.max_draining && oldest != old) {
			log_notice("generation %u: more than %d generations drain, stopping this, "
			           "the oldest",
			        oldest->id, generation->settings.max_draining);
			/* Its clients wait until the current generation takes the listeners. */
			switch_off(state.instance, oldest);
			drain_stop(oldest, oldest->settings.kill_after);
		}
	}
}

static void probation_over(void *context)
{
	(void)context;
	for (uint32_t i = 0; i < state.instance->store.count; i++)
		listener_forget_options(instance_listener(state.instance, i));
	aside_keep();
	state.instance->on_probation = false;
	moves_now(state.instance);
	begin_drain_of_old(state.generation);
	moves_report(state.instance);
	state.instance->upgrades.last_generation = state.generation->id;
	finish(EXIT_DONE);
}

/* The listeners that the switch is about to open, and those whose gates are open already. */
static void print_listeners(const struct generation *generation, char *text, size_t size)
{
	static bool which[MOULT_LISTENERS];
	for (uint32_t i = 0; i < state.instance->store.count; i++)
		which[i] = switch_is_due(state.instance, generation, i) ||
		           (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_OPEN);
	instance_print_listeners(state.instance, which, text, size);
}

/*
 * Listens on sockets whose listen() was put off until the switch, for they overlap an address that
 * the current generation serves.  On failure `name` is the address.  0 or -errno.
 */
static int begin_to_listen(const struct generation *generation, char *name, size_t size)
{
	int result = 0;
	for (uint32_t i = 0; i < state.instance->store.count && result == 0; i++) {
		struct listener *listener = instance_listener(state.instance, i);
		if (!generation->holds[i] || !listener->deferred)
			continue;
		listener_print(listener, name, size);
		result = listener_begin(listener);
	}
	return result;
}

static void become_current(struct generation *generation)
{
	struct instance *instance = state.instance;
	char name[LISTENER_TEXT], time[32];
	int result = begin_to_listen(generation, name, sizeof(name));
	if (result < 0) {
		fail(EXIT_FAILED, "%s: %s", name, strerror(-result));
		return;
	}
	struct generation *old = instance->current;
	for (uint32_t i = 0; old && i < instance->store.count; i++)
		if (generation->holds[i])
			listener_remember_options(instance_listener(instance, i));
	generation->state = GENERATION_CURRENT;
	instance->next = NULL;
	instance->current = generation;
	if (old)
		old->state = GENERATION_DRAINING;
	instance_set_state(instance, INSTANCE_SERVING);
	nanoseconds waited = switch_to(instance, generation);
	state.former_retire_at = instance->retire_at;
	moves_begin(instance, settings_retire_after(&generation->settings));
	if (old)
		log_debug("generation %u: open, generation %u: last accept after %lld us",
		        generation->id, old->id, (long long)(waited / 1000));
	set_settings(&generation->settings);
	if (state.succession.yielded) {
		duration_print(now() - state.succession.vacant_since, time, sizeof(time));
		log_notice("generation %u: clients have waited for up to %s", generation->id, time);
	}
	generation->awaits_turn = false;
	if (state.succession.returns)
		finish(state.exit_status);
	else if (old || state.succession.former_id) {
		state.phase = PROBATION_TIME;
		instance->on_probation = true;
		state.probation.fire = probation_over;
		loop_after(&state.probation, PROBATION);
	} else {
		aside_keep(); /* the former one has died before the switch */
		instance->upgrades.last_generation = generation->id;
		finish(EXIT_DONE);
	}
}

static void ready(void *context)
{
	(void)context;
	struct generation *generation = state.generation;
	char time[32], names[300];
	generation->ready = now();
	generation->is_ready = true;
	loop_cancel(&state.ready_timeout);
	loop_cancel(&state.hint);
	duration_print(generation->ready - generation->started, time, sizeof(time));
	print_listeners(generation, names, sizeof(names));
	if (!names[0])
		log_notice("generation %u: ready after %s, without a listening socket that moult "
		           "could hand over",
		        generation->id, time);
	else
		log_notice("generation %u: %s %s, ready after %s", generation->id,
		        state.instance->current || state.succession.yielded ? "took over"
		                                                            : "listens on",
		        names, time);
	become_current(generation);
}

/* ---- not ready ---- */

static void hint(void *context)
{
	(void)context;
	struct generation *generation = state.generation;
	if (generation->held && !generation_waits(generation))
		diagnose_io_uring(generation);
	if (generation->held || diagnose_not_preloaded(state.instance, generation))
		return;
	if (now() - generation->started > 5 * SECOND)
		log_notice("generation %u: no listening socket after 5 s; moult can only upgrade "
		           "what listens on TCP, UDP or UNIX sockets",
		        generation->id);
	else
		loop_after(&state.hint, 500 * MILLISECOND);
}

static void not_ready_in_time(void *context)
{
	(void)context;
	struct instance *instance = state.instance;
	struct generation *generation = state.generation;
	char time[32];
	char what[LISTENER_TEXT + 64];
	readiness_print_obstacle(&state.readiness, what, sizeof(what));
	duration_print(generation->settings.ready_timeout, time, sizeof(time));
	bool waited_for = state.kind == UPGRADE_START && instance->background;
	bool is_new = state.kind == UPGRADE_REQUESTED && !state.succession.returns;
	if (!instance->current && !waited_for && !is_new) {
		/* A daemon that is never ready, and is alone, runs as it would without us. */
		log_error("generation %u: not ready after %s (%s); it goes on", generation->id,
		        time, what);
		if (state.hint.armed)
			(void)diagnose_not_preloaded(state.instance, generation);
		readiness_deinit(&state.readiness);
		become_current(generation);
		return;
	}
	fail(EXIT_FAILED, "not ready within %s (%s)", time, what);
}

/* ---- start ---- */

static void main_ended(struct generation *generation);

static void reported(struct generation *generation, const struct report *report)
{
	generation_started(generation);
	switch (report->kind) {
	case REPORT_EXECUTED:
		generation->main = report->pid;
		generation->executed = true;
		if (state.succession.returns)
			log_notice("generation %u: started the program of generation %u again, pid "
			           "%d",
			        generation->id, state.succession.former_id, report->pid);
		else
			log_notice("generation %u: started, pid %d", generation->id, report->pid);
		break;
	case REPORT_NOT_EXECUTED: generation->execute_error = report->value; break;
	case REPORT_EXITED:
		generation->main_exited = true;
		generation->main_status = report->value;
		main_ended(generation);
		break;
	}
}

void upgrade_read_reports(struct generation *generation)
{
	struct report report;
	ssize_t length;
	while ((length = read(generation->reports.fd, &report, sizeof(report))) == sizeof(report))
		reported(generation, &report);
	if (length == 0) /* the keeper has ended: SIGCHLD follows */
		loop_unwatch(&generation->reports);
}

static void reports_readable(void *context)
{
	upgrade_read_reports(context);
}

static int start(struct generation *generation)
{
	struct instance *instance = state.instance;
	char library[PATH_MAX], variable[256], notify[128];
	int result = preload_library(library, sizeof(library));
	if (result < 0) {
		log_error("libmoult.so was not found beside moult or in ../lib/moult, or its path "
		          "has a space or colon in it: %s",
		        strerror(-result));
		return result;
	}
	result = readiness_init(&state.readiness, instance, generation);
	if (result < 0)
		return result;
	generation_variable(generation, instance->channel_address, variable, sizeof(variable));
	readiness_variable(&state.readiness, notify, sizeof(notify));
	char **environment = preload_environment_new(variable, notify, library);
	if (!environment)
		return -ENOMEM;
	bool replaced;
	generation->program =
	        succession_program(&state.succession, generation->settings.command[0], &replaced);
	struct roster_entry *entry = channel_enroll(generation);
	generation->entry = ledger_enroll(generation->id);
	if (!entry || !generation->entry) {
		free(environment);
		return -ENOSPC;
	}
	struct spawn spawn = {.keeper = &entry->keeper,
	        .entry = generation->entry,
	        .board = generation->board,
	        .stop_signal = generation->settings.stop_signal,
	        .command = generation->settings.command,
	        .program = replaced ? generation->program : -1,
	        .environment = environment,
	        .ready_fd =
	                generation->settings.ready == READY_FD ? generation->settings.ready_fd : -1,
	        .ready_pipe = state.readiness.pipe,
	        .background = instance->background};
	generation->started = now();
	generation->started_wall = time(NULL);
	generation_starts(generation);
	result = spawn_generation(&spawn, &generation->keeper, &generation->reports.fd);
	free(environment);
	if (result < 0)
		return result;
	generation->reports.ready = reports_readable;
	generation->reports.context = generation;
	return loop_watch(&generation->reports);
}

/* Pid files and locks hinder the next generation only if there is a current one beside it. */
static int make_room(const struct generation *generation)
{
	char complaint[400];
	if (!state.instance->current)
		return 0;
	int result = aside_begin(
	        state.instance, generation->settings.aside, complaint, sizeof(complaint));
	if (result < 0)
		log_error("%s; generation %u still serves", complaint, state.instance->current->id);
	return result;
}

static int begin(const struct settings *settings)
{
	struct instance *instance = state.instance;
	struct generation *generation = generation_new(instance->last_id + 1, settings);
	if (!generation)
		return -errno;
	generation->instance = instance;
	generation->older = instance->newest;
	/*
	 * --no-overlap: the gates stay closed until the switch.  With --ready=exec=CMD they do not:
	 * the command may connect to the daemon, and no other generation could answer.
	 */
	generation->awaits_turn = state.succession.yielded && settings->ready != READY_EXEC;
	poke_publish(generation);
	state.generation = generation;
	instance->newest = instance->next = generation;
	publish_addresses(instance);
	publish_newness(instance, true);
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_remember_mode(instance_listener(instance, i));
	int result = make_room(generation);
	if (result == 0)
		result = start(generation);
	if (result < 0 && !generation->keeper) {
		aside_put_back();
		instance->newest = generation->older;
		instance->next = NULL;
		state.generation = NULL;
		publish_newness(instance, false);
		readiness_deinit(&state.readiness);
		channel_strike_off(generation);
		ledger_strike_off(generation->entry);
		generation_free(generation);
		return result;
	}
	instance->last_id++;
	state.phase = WARMING;
	readiness_await(&state.readiness, ready, NULL);
	state.ready_timeout.fire = not_ready_in_time;
	loop_after(&state.ready_timeout, settings->ready_timeout);
	state.hint.fire = hint;
	loop_after(&state.hint, SECOND);
	if (result < 0) /* the report that the daemon was executed would never be read */
		fail(EXIT_FAILED, "its keeper process cannot be watched: %s", strerror(-result));
	return 0;
}

int upgrade_begin(enum upgrade_kind kind, const struct settings *settings)
{
	struct instance *instance = state.instance;
	state.kind = kind;
	state.began = now();
	succession_deinit(&state.succession);
	if (!settings->no_overlap || !instance->newest)
		return begin(settings);
	int result = succession_init(
	        &state.succession, settings, kind == UPGRADE_REQUESTED ? instance->current : NULL);
	if (result < 0) {
		succession_deinit(&state.succession);
		return result;
	}
	state.phase = YIELDING;
	state.generation = NULL;
	yield_begin(instance, settings_yield_timeout(settings));
	return 0;
}

/* The log and the status, when begin() has failed: there is no generation. */
static void cannot_begin(int error)
{
	log_error(
	        "generation %u: could not be started: %s", upgrade_running_id(), strerror(-error));
	set_reason(upgrade_running_id(), strerror(-error));
}

void upgrade_go_on(void)
{
	struct succession *succession = &state.succession;
	if (state.phase != YIELDING || state.instance->newest)
		return;
	int result = begin(succession_settings(succession));
	if (result < 0) {
		cannot_begin(result);
		state.exit_status = EXIT_FAILED;
		if (succession->former_id && !succession->returns) {
			succession->returns = true;
			result = begin(succession_settings(succession));
			if (result < 0)
				cannot_begin(result);
		}
	}
	if (result < 0)
		finish(EXIT_FAILED);
}

/* ---- what happens to processes ---- */

static void main_ended(struct generation *generation)
{
	char how[64], time[32];
	if (!upgrade_concerns(generation)) {
		state.main_ended(generation);
		return;
	}
	if (state.phase == FAILING)
		return;
	int status = generation->main_status;
	/* A daemon that goes into the background: its parent exits with status 0. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	        (state.phase == WARMING || survey_holds_any(generation)))
		return;
	status_print(status, how, sizeof(how));
	if (state.phase == WARMING) {
		fail(EXIT_FAILED, "%s before it was ready", how);
		return;
	}
	duration_print(now() - generation->ready, time, sizeof(time));
	fail(EXIT_FAILED, "%s %s after it was ready", how, time);
}

bool upgrade_concerns(const struct generation *generation)
{
	return state.phase != IDLE && generation == state.generation;
}

/*
 * Undoes what a failed version has changed of listeners: options it wanted, mode and owner of
 * paths, SO_REUSEPORT.  Sockets that only this version listened on end with it, as they would
 * without us.
 */
static void close_its_own(const struct generation *failed)
{
	for (uint32_t i = 0; i < state.instance->store.count; i++) {
		struct listener *listener = instance_listener(state.instance, i);
		bool held = false;
		listener_set_template_consume(listener, -1);
		listener_restore_mode(listener);
		if (listener->state != LISTENER_GONE)
			socket_set_reuseport(listener->fd, listener->shared);
		for (struct generation *g = state.instance->newest; g; g = g->older)
			held |= g != failed && g->holds[i];
		if (!held && listener->born == failed->id)
			listener_close(listener);
	}
	publish_addresses(state.instance);
}

void upgrade_generation_gone(struct generation *generation)
{
	char how[64], time[32];
	if (state.phase != FAILING) {
		if (generation->execute_error) {
			int error = generation->execute_error;
			bool missing = error == ENOENT || error == ENOTDIR;
			fail(missing ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE,
			        "%s cannot be executed: %s", generation->settings.command[0],
			        strerror(error));
		} else if (generation->main_exited) {
			status_print(generation->main_status, how, sizeof(how));
			if (state.phase == WARMING)
				fail(EXIT_FAILED, "%s before it was ready", how);
			else {
				duration_print(now() - generation->ready, time, sizeof(time));
				fail(EXIT_FAILED, "all its processes ended %s after it was ready",
				        time);
			}
		} else
			fail(EXIT_FAILED, "its keeper process ended");
	}
	if (state.kind == UPGRADE_REQUESTED)
		close_its_own(generation);
	aside_put_back();
	if (state.succession.former_id && !state.succession.returns) {
		state.succession.returns = true;
		state.phase = YIELDING; /* when it is freed: upgrade_go_on() */
		state.generation = NULL;
		return;
	}
	finish(state.exit_status);
}

bool upgrade_reaped(pid_t pid, int status)
{
	return readiness_reaped(&state.readiness, pid, status);
}

void upgrade_abandon(void)
{
	readiness_deinit(&state.readiness);
	loop_cancel(&state.ready_timeout);
	loop_cancel(&state.probation);
	loop_cancel(&state.hint);
	if (state.phase == WARMING && state.instance->current)
		drain_kill(state.generation);
	else if (state.phase ==
	         WARMING) { /* alone: it accepts what is queued, ready or not, then drains */
		state.generation->state = GENERATION_CURRENT;
		state.instance->current = state.generation;
		switch_to(state.instance, state.generation);
		state.generation->awaits_turn = false;
	} else if (state.phase == PROBATION_TIME) {
		state.instance->on_probation = false;
		begin_drain_of_old(state.generation);
	} else if (state.phase == YIELDING)
		yield_abandon(state.instance);
	succession_deinit(&state.succession);
	if (state.generation && state.generation->state == GENERATION_STOPPING) {
		/* The current generation gets the stop signal next and removes its own files. */
		drain_await_kill(state.generation, SECOND);
		aside_put_back();
	} else
		aside_keep();
	state.instance->next = NULL;
	state.phase = IDLE;
	state.generation = NULL;
}
