/* SPDX-License-Identifier: MIT */
/* Upgrades that are refused at once, before anything is started. */
#include "helper/lifecycle/refusal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "helper/check/inspection.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/attempt.h"
#include "helper/process/preload.h"
#include "shim/contract.h"

static void count(struct instance *instance, const char *text)
{
	struct upgrade_counts *counts = &instance->upgrades;
	counts->failed++;
	counts->any = true;
	counts->last_completed = false;
	counts->last_duration = 0;
	counts->last_generation = instance->last_id + 1;
	const char *reason = strstr(text, ": ");
	snprintf(
	        counts->last_reason, sizeof(counts->last_reason), "%s", reason ? reason + 2 : text);
}

void refusal_answer(struct instance *instance, struct control_client *client, int exit_status,
        const char *text, bool counts)
{
	if (counts)
		count(instance, text);
	if (client)
		control_reply(client, exit_status, text);
	else
		log_error("%s", text);
}

static bool cannot_be_reached(enum inspect_verdict verdict)
{
	return verdict == INSPECT_STATIC || verdict == INSPECT_SECURE ||
	       verdict == INSPECT_HIDDEN || verdict == INSPECT_ELSEWHERE;
}

/* The running program cannot be upgraded.  This comes first: to try again later does not help. */
static int by_verdict(const struct instance *instance, char *text, size_t size)
{
	const struct generation *only =
	        instance->current ? instance->current : instance->attempt->generation;
	if (!cannot_be_reached(instance->verdict) &&
	        !(instance->verdict == INSPECT_GO && only && !only->held))
		return 0;
	snprintf(text, size, "moult: %s: %s", instance->name, instance->verdict_reason);
	return EXIT_FAILED;
}

static int by_listeners(const struct instance *instance, char *text, size_t size)
{
	if (!instance->current || instance->current->held)
		return 0;
	snprintf(text, size,
	        "moult: %s: generation %u has no listening socket that moult could hand over%s%s; "
	        "it still runs",
	        instance->name, instance->current->id, instance->verdict_reason[0] ? ": " : "",
	        instance->verdict_reason);
	return EXIT_FAILED;
}

/* The program that is to be started. */
static int by_inspection(
        const struct instance *instance, char *const *command, char *text, size_t size)
{
	enum inspect_verdict verdict;
	char reason[400];
	int result = inspection_run(command, &verdict, reason, sizeof(reason));
	const char *who = instance->current ? "; the current generation still serves" : "";
	snprintf(text, size, "moult: %s: %s%s", instance->name, reason, who);
	if (result < 0)
		return result == -ENOENT || result == -ENOTDIR ? EXIT_NOT_FOUND
		                                               : EXIT_CANNOT_EXECUTE;
	if (verdict == INSPECT_FOREIGN)
		return EXIT_CANNOT_EXECUTE;
	if (cannot_be_reached(verdict))
		return EXIT_FAILED;
	if (verdict == INSPECT_UNKNOWN)
		log_error("%s", reason);
	return 0;
}

/* A package upgrade has replaced the library, and this launcher is the one from before it. */
static int by_library(const struct instance *instance, char *text, size_t size)
{
	char library[PATH_MAX];
	uint32_t contract;
	if (preload_library(library, sizeof(library)) < 0 ||
	        !preload_is_of_other_contract(library, &contract))
		return 0;
	snprintf(text, size,
	        "moult: %s: %s was replaced after this launcher was started, and the two do not "
	        "understand each other (contract %u of the library, %u of the launcher)%s; stop "
	        "and start the instance, then it can be upgraded",
	        instance->name, library, contract, MOULT_CONTRACT,
	        instance->current ? "; the current generation still serves" : "");
	return EXIT_FAILED;
}

bool refusal_check(struct instance *instance, const struct upgrade_request *request)
{
	char text[PATH_MAX + 700];
	int status = by_verdict(instance, text, sizeof(text));
	if (!status)
		status = by_listeners(instance, text, sizeof(text));
	if (!status)
		status = by_library(instance, text, sizeof(text));
	if (!status)
		status = by_inspection(instance, request->settings->command, text, sizeof(text));
	if (status)
		refusal_answer(instance, request->client, status, text, true);
	return status != 0;
}

enum event refusal_busy(struct instance *instance, const struct happening *what)
{
	char text[700];
	int status = by_verdict(instance, text, sizeof(text));
	bool counts = status != 0;
	if (!status) {
		snprintf(text, sizeof(text), "moult: %s: %s (generation %u)", instance->name,
		        instance->attempt->kind == ATTEMPT_UPGRADE ? "another upgrade is running"
		                                                   : "it is still starting",
		        attempt_id(instance));
		status = EXIT_BUSY;
	}
	refusal_answer(instance, what->request->client, status, text, counts);
	return EVENT_NONE;
}

enum event refusal_stopping(struct instance *instance, const struct happening *what)
{
	char text[300];
	snprintf(text, sizeof(text), "moult: %s is stopping", instance->name);
	refusal_answer(instance, what->request->client, EXIT_FAILED, text, false);
	return EVENT_NONE;
}
