/* SPDX-License-Identifier: MIT */
/* The next generation fails: its processes have ended, or it is not ready in time. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/diagnosis.h"
#include "helper/lifecycle/takeover.h"
#include "helper/state/survey.h"

enum event failure_not_ready(struct instance *instance, const struct happening *what)
{
	struct attempt *attempt = instance->attempt;
	struct generation *generation = attempt->generation;
	char time[32];
	char lacks[LISTENER_TEXT + 64];
	(void)what;
	readiness_print_obstacle(&attempt->readiness, lacks, sizeof(lacks));
	duration_print(generation->settings.ready_timeout, time, sizeof(time));
	bool waited_for = attempt->kind == ATTEMPT_START && instance->background;
	bool is_new = attempt->kind == ATTEMPT_UPGRADE && !attempt->fallback.in_use;
	if (instance->current || waited_for || is_new)
		return attempt_fail(instance, EXIT_FAILED, "not ready within %s (%s)", time, lacks);
	/* A daemon that is never ready, and is alone, runs as it would without us. */
	log_error(
	        "generation %u: not ready after %s (%s); it runs on", generation->id, time, lacks);
	if (attempt->hint.armed)
		(void)diagnose_not_preloaded(instance, generation);
	readiness_deinit(&attempt->readiness);
	return takeover_switch(instance);
}

/* "before it was ready", "310 ms after it was ready" */
static const char *when(const struct generation *generation, char *text, size_t size)
{
	char time[32];
	if (!generation->is_ready)
		return "before it was ready";
	duration_print(now() - generation->ready, time, sizeof(time));
	snprintf(text, size, "%s after it was ready", time);
	return text;
}

enum event failure_main_exited(struct instance *instance, const struct happening *what)
{
	struct generation *generation = instance->attempt->generation;
	int status = generation->main_status;
	char how[64], time[64];
	(void)what;
	/* A daemon that goes into the background: its parent exits with status 0. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	        (!generation->is_ready || survey_holds_any(generation)))
		return EVENT_NONE;
	status_print(status, how, sizeof(how));
	return attempt_fail(
	        instance, EXIT_FAILED, "%s %s", how, when(generation, time, sizeof(time)));
}

enum event failure_keeper_ended(struct instance *instance, const struct happening *what)
{
	const struct generation *generation = instance->attempt->generation;
	int error = generation->execute_error;
	char how[64], time[64];
	(void)what;
	if (error)
		return attempt_fail(instance,
		        error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_EXECUTE,
		        "%s cannot be executed: %s", generation->settings.command[0],
		        strerror(error));
	if (!generation->main_exited)
		return attempt_fail(instance, EXIT_FAILED, "its keeper process ended");
	if (generation->is_ready)
		snprintf(how, sizeof(how), "all its processes ended");
	else
		status_print(generation->main_status, how, sizeof(how));
	return attempt_fail(
	        instance, EXIT_FAILED, "%s %s", how, when(generation, time, sizeof(time)));
}
