/* SPDX-License-Identifier: MIT */
/* One start of a generation. */
#include "helper/lifecycle/attempt.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/log.h"
#include "helper/control/server.h"
#include "helper/kernel/tree.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/diagnosis.h"
#include "helper/lifecycle/kept.h"
#include "helper/lifecycle/manager.h"
#include "helper/lifecycle/retire.h"
#include "helper/lifecycle/vacate.h"
#include "helper/process/background.h"
#include "helper/process/notify_fd.h"
#include "helper/process/preload.h"
#include "helper/process/spawn.h"
#include "helper/requests/channel.h"
#include "helper/requests/publish.h"
#include "helper/switch/poke.h"

uint32_t attempt_id(const struct instance *instance)
{
	const struct generation *generation = instance->attempt->generation;
	return generation ? generation->id : instance->last_id + 1;
}

void attempt_disarm(struct instance *instance)
{
	struct attempt *attempt = instance->attempt;
	readiness_deinit(&attempt->readiness);
	loop_cancel(&attempt->ready_timeout);
	loop_cancel(&attempt->probation);
	loop_cancel(&attempt->hint);
}

enum event attempt_fail(struct instance *instance, int exit_status, const char *format, ...)
{
	struct attempt *attempt = instance->attempt;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(attempt->reason, sizeof(attempt->reason), format, arguments);
	va_end(arguments);
	if (!attempt->fallback.in_use)
		attempt->exit_status = exit_status;
	return EVENT_FAILED;
}

void attempt_note_reason(struct instance *instance, uint32_t generation, const char *reason)
{
	const struct attempt *attempt = instance->attempt;
	struct upgrade_counts *counts = &instance->upgrades;
	size_t length = strlen(counts->last_reason);
	if (attempt->kind != ATTEMPT_UPGRADE)
		return;
	if (attempt->fallback.in_use) {
		snprintf(counts->last_reason + length, sizeof(counts->last_reason) - length,
		        "; the program of generation %u, started again: %s", attempt->fallback.id,
		        reason);
		return;
	}
	snprintf(counts->last_reason, sizeof(counts->last_reason), "%s", reason);
	counts->last_generation = generation;
}

static void count(struct instance *instance, int exit_status)
{
	struct upgrade_counts *counts = &instance->upgrades;
	counts->any = true;
	counts->last_completed = exit_status == EXIT_DONE;
	counts->completed += exit_status == EXIT_DONE;
	counts->failed += exit_status != EXIT_DONE;
	counts->last_duration = now() - instance->attempt->began;
	if (exit_status == EXIT_DONE)
		counts->last_reason[0] = '\0';
}

void attempt_finish(struct instance *instance, int exit_status)
{
	struct attempt *attempt = instance->attempt;
	attempt_disarm(instance);
	if (instance->current) /* otherwise clients still wait and need long queues */
		vacate_end(instance);
	fallback_deinit(&attempt->fallback);
	settings_deinit(&attempt->wanted);
	attempt->generation = NULL;
	attempt->is_running = false;
	publish_newness(instance, false);
	retire_unheld(instance);
	if (attempt->kind == ATTEMPT_START && exit_status == EXIT_DONE) {
		background_done(exit_status);
		notify_fd_ready();
	}
	if (attempt->kind != ATTEMPT_UPGRADE) {
		if (exit_status == EXIT_DONE)
			manager_serves(instance);
		return;
	}
	count(instance, exit_status);
	manager_upgrade_ends(instance, exit_status != EXIT_DONE);
	control_finish(VERB_UPGRADE, false, exit_status);
	if (exit_status != EXIT_DONE || (instance->newest && !instance->newest->older))
		control_finish(VERB_UPGRADE, true, exit_status);
}

/* ---- what the loop brings ---- */

static void ready(void *context)
{
	transitions_event(context, EVENT_READY);
}

static void not_ready_in_time(void *context)
{
	transitions_event(context, EVENT_NOT_READY_IN_TIME);
}

static void not_watched(void *context)
{
	struct instance *instance = context;
	attempt_fail(instance, EXIT_FAILED, "its keeper process cannot be watched: %s",
	        strerror(instance->attempt->watch_error));
	transitions_event(instance, EVENT_FAILED);
}

static void hint(void *context)
{
	struct instance *instance = context;
	const struct generation *generation = instance->attempt->generation;
	if (generation->held && !generation_waits(generation))
		diagnose_io_uring(generation);
	if (generation->held || diagnose_not_preloaded(instance, generation))
		return;
	if (now() - generation->started > 5 * SECOND)
		log_notice("generation %u: no listening socket after 5 s; moult can only upgrade "
		           "what listens on TCP, UDP or UNIX sockets",
		        generation->id);
	else
		loop_after(&instance->attempt->hint, 500 * MILLISECOND);
}

static void exited(struct instance *instance, struct generation *generation, int status)
{
	generation->main_exited = true;
	generation->main_status = status;
	generation->main_ended = now();
	if (generation == instance->attempt->generation)
		transitions_event(instance, EVENT_NEXT_MAIN_EXITED);
	else if (generation == instance->current)
		transitions_event(instance, EVENT_CURRENT_MAIN_EXITED);
}

static void reported(struct generation *generation, const struct report *report)
{
	struct instance *instance = generation->instance;
	const struct fallback *fallback = &instance->attempt->fallback;
	generation_started(generation);
	switch (report->kind) {
	case REPORT_EXECUTED:
		generation->main = report->pid;
		generation->executed = true;
		if (fallback->in_use)
			log_notice("generation %u: started the program of generation %u again, pid "
			           "%d",
			        generation->id, fallback->id, report->pid);
		else
			log_notice("generation %u: started, pid %d", generation->id, report->pid);
		break;
	case REPORT_NOT_EXECUTED: generation->execute_error = report->value; break;
	case REPORT_EXITED: exited(instance, generation, report->value); break;
	}
}

void attempt_read_reports(struct generation *generation)
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
	attempt_read_reports(context);
}

/* A process that sends to this socket need not be one of the generation's. */
static void said(void *context, const struct notification *notification)
{
	struct generation *generation = context;
	struct instance *instance = generation->instance;
	if (!tree_has(generation->keeper, notification->sender))
		return;
	bool is_next = generation == instance->attempt->generation;
	if (generation == instance->current || is_next)
		manager_pass_on(instance, generation, notification);
	if (is_next && notification->ready)
		readiness_notified(&instance->attempt->readiness);
}

/* ---- start ---- */

/* 0; -EPROTO: the library is of another contract; other -errno. */
static int find_library(char *path, size_t size)
{
	uint32_t contract;
	int result = preload_library(path, size);
	if (result < 0) {
		log_error("libmoult.so was not found beside moult or in ../lib/moult, or its path "
		          "has a space or colon in it: %s",
		        strerror(-result));
		return result;
	}
	if (!preload_is_of_other_contract(path, &contract))
		return 0;
	log_error("%s (contract %u) and this launcher (contract %u) are of different versions; "
	          "start the instance again, with moult and libmoult.so of one build",
	        path, contract, MOULT_CONTRACT);
	return -EPROTO;
}

/* 0 or -errno; ->keeper tells whether processes exist. */
static int spawn(struct instance *instance, struct generation *generation)
{
	struct attempt *attempt = instance->attempt;
	char library[PATH_MAX], variable[256], notify[128];
	int result = find_library(library, sizeof(library));
	if (result == 0)
		result = readiness_init(&attempt->readiness, instance, generation);
	if (result == 0 && (generation->settings.ready == READY_NOTIFY || manager_is_there()))
		result = notifier_start(&generation->notifier,
		        generation->token + MOULT_TOKEN_DIGITS / 2, said, generation);
	if (result < 0)
		return result;
	generation_variable(generation, instance->channel_address, variable, sizeof(variable));
	snprintf(notify, sizeof(notify), "%s%s",
	        generation->notifier.address[0] ? "NOTIFY_SOCKET=@" : "",
	        generation->notifier.address);
	char **environment = preload_environment_new(variable, notify, library);
	if (!environment)
		return -ENOMEM;
	bool replaced;
	generation->program =
	        fallback_program(&attempt->fallback, generation->settings.command[0], &replaced);
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
	        .ready_pipe = attempt->readiness.pipe,
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
static int make_room(struct instance *instance, const struct generation *generation)
{
	char complaint[400];
	if (!instance->current)
		return 0;
	int result =
	        aside_begin(instance, generation->settings.aside, complaint, sizeof(complaint));
	if (result < 0)
		log_error("%s; generation %u still serves", complaint, instance->current->id);
	return result;
}

static void take_back(struct instance *instance, struct generation *generation)
{
	aside_put_back();
	instance->newest = generation->older;
	instance->attempt->generation = NULL;
	publish_newness(instance, false);
	readiness_deinit(&instance->attempt->readiness);
	channel_strike_off(generation);
	ledger_strike_off(generation->entry);
	generation_free(generation);
}

static void arm(
        struct timer *timer, struct instance *instance, void (*fire)(void *), nanoseconds delay)
{
	timer->fire = fire;
	timer->context = instance;
	loop_after(timer, delay);
}

/* 0: the generation exists and is warming.  -errno: nothing is left of it. */
static int start(struct instance *instance, const struct settings *settings)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = generation_new(instance->last_id + 1, settings);
	if (!generation)
		return -errno;
	generation->instance = instance;
	generation->older = instance->newest;
	/*
	 * --no-overlap: the gates stay closed until the switch.  With --ready=exec=CMD they do not:
	 * the command may connect to the daemon, and no other generation could answer.
	 */
	generation->awaits_turn = attempt->vacated && settings->ready != READY_EXEC;
	poke_publish(generation);
	instance->newest = attempt->generation = generation;
	publish_addresses(instance);
	publish_newness(instance, true);
	kept_give(instance, generation);
	for (uint32_t i = 0; i < instance->store.count; i++)
		listener_remember_mode(instance_listener(instance, i));
	int result = make_room(instance, generation);
	if (result == 0)
		result = spawn(instance, generation);
	if (result < 0 && !generation->keeper) {
		take_back(instance, generation);
		return result;
	}
	instance->last_id++;
	attempt->watch_error = -result;
	if (result < 0) { /* the report that the daemon was executed would never be read */
		arm(&attempt->ready_timeout, instance, not_watched, 0);
		return 0;
	}
	readiness_await(&attempt->readiness, ready, instance);
	arm(&attempt->ready_timeout, instance, not_ready_in_time, settings->ready_timeout);
	arm(&attempt->hint, instance, hint, SECOND);
	return 0;
}

static int prepare(struct instance *instance, const struct settings *settings)
{
	struct attempt *attempt = instance->attempt;
	int result = settings_copy(&attempt->wanted, settings);
	attempt->vacated = settings->no_overlap && instance->newest;
	if (result == 0 && attempt->vacated && attempt->kind == ATTEMPT_UPGRADE &&
	        instance->current)
		result = fallback_init(&attempt->fallback, instance->current);
	return result;
}

int attempt_begin(struct instance *instance, enum attempt_kind kind,
        const struct settings *settings, enum event *ret_event)
{
	struct attempt *attempt = instance->attempt;
	attempt->kind = kind;
	attempt->began = now();
	int result = prepare(instance, settings);
	if (result == 0 && attempt->vacated) {
		vacate_begin(instance, settings_vacate_timeout(settings));
		*ret_event = EVENT_VACATING;
	} else if (result == 0) {
		result = start(instance, &attempt->wanted);
		*ret_event = EVENT_STARTED;
	}
	attempt->is_running = result == 0;
	if (result == 0 && kind == ATTEMPT_UPGRADE)
		manager_upgrade_begins(instance);
	if (result < 0) {
		fallback_deinit(&attempt->fallback);
		settings_deinit(&attempt->wanted);
	}
	return result;
}

/* The log and the status, when start() has failed: there is no generation. */
static void cannot_start(struct instance *instance, int error)
{
	log_error(
	        "generation %u: could not be started: %s", attempt_id(instance), strerror(-error));
	attempt_note_reason(instance, attempt_id(instance), strerror(-error));
}

enum event attempt_start_vacated(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	struct fallback *fallback = &attempt->fallback;
	(void)what;
	if (!fallback->in_use) {
		int result = start(instance, &attempt->wanted);
		if (result == 0)
			return EVENT_STARTED;
		cannot_start(instance, result);
		attempt->exit_status = EXIT_FAILED;
		fallback->in_use = fallback->id != 0;
	}
	if (fallback->in_use) {
		int result = start(instance, &fallback->settings);
		if (result == 0)
			return EVENT_STARTED;
		cannot_start(instance, result);
	}
	attempt_finish(instance, attempt->exit_status);
	return EVENT_NOBODY_SERVES;
}
