/* SPDX-License-Identifier: MIT */
/* Requests of operators, by a command or by a signal. */
#include "helper/lifecycle/operator.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/log.h"
#include "helper/cli/options.h"
#include "helper/control/status.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/kept.h"
#include "helper/lifecycle/refusal.h"
#include "helper/lifecycle/restart.h"
#include "helper/state/survey.h"

/* ---- upgrade ---- */

/*
 * The client is attached before the start, for the log of the start is for the client, too.  A
 * restart that is due takes place as this upgrade; if the upgrade fails, the restart is due again.
 */
enum event operator_upgrade(struct instance *instance, const struct happening *what)
{
	const struct upgrade_request *request = what->request;
	enum event event = EVENT_NONE;
	char text[300];
	if (refusal_check(instance, request))
		return EVENT_NONE;
	instance->attempt->owes_restart = restart_cancel();
	if (request->client)
		control_attach(request->client, VERB_UPGRADE, request->wait, request->level);
	int result = attempt_begin(instance, ATTEMPT_UPGRADE, request->settings, &event);
	if (result == 0)
		return event;
	snprintf(text, sizeof(text), "the next generation could not be started: %s",
	        strerror(-result));
	refusal_answer(instance, NULL, EXIT_FAILED, text, true);
	control_finish(VERB_UPGRADE, request->wait, EXIT_FAILED);
	if (instance->attempt->owes_restart)
		restart_schedule(instance);
	return EVENT_NONE;
}

/* With --quiet the client holds the lines back itself, and prints them if the upgrade fails. */
static enum log_level attached_level(const struct options *options)
{
	return options->level < LOG_LEVEL_NOTICE ? LOG_LEVEL_NOTICE : options->level;
}

/* `client` may be NULL (SIGHUP). */
static void request_upgrade(
        struct instance *instance, struct control_client *client, int count, char **words)
{
	struct options options;
	char text[300];
	options_default(&options);
	settings_deinit(&options.settings);
	if (settings_copy(&options.settings, &instance->settings) < 0) {
		snprintf(text, sizeof(text), "moult: %s: out of memory", instance->name);
		refusal_answer(instance, client, EXIT_FAILED, text, false);
	} else if (options_parse(&options, VERB_UPGRADE, count, words, text, sizeof(text)) < 0) {
		refusal_answer(instance, client, EXIT_USAGE, text, false);
	} else {
		struct upgrade_request request = {.client = client,
		        .settings = &options.settings,
		        .wait = options.wait,
		        .level = attached_level(&options)};
		transitions_happen(
		        instance, &(struct happening){.event = EVENT_UPGRADE, .request = &request});
	}
	options_deinit(&options);
}

/* ---- status ---- */

/* At most so long the status waits for counts; then it shows the previous numbers. */
static const nanoseconds STATUS_PATIENCE = 2 * SECOND;

static struct timer status_timer; /* armed: a status waits */
static bool status_to_log;

static void reply_text(struct control_client *client, char *text)
{
	if (text)
		control_text(client, text, strlen(text));
	control_reply(client, text ? EXIT_DONE : EXIT_FAILED, text ? NULL : "moult: out of memory");
	free(text);
}

static void log_status(struct instance *instance)
{
	char *text = status_text(instance), *rest = text, *line;
	while (rest && (line = strsep(&rest, "\n")))
		if (*line)
			log_notice("%s", line + strspn(line, " "));
	free(text);
}

static void finish_status(void *context)
{
	struct instance *instance = context;
	bool to_log = status_to_log;
	loop_cancel(&status_timer);
	status_to_log = false;
	if (to_log)
		log_status(instance);
	for (int json = 0; json <= 1; json++) {
		if (!control_has_kept(VERB_STATUS, json))
			continue;
		char *text = json ? status_json(instance) : status_text(instance);
		control_finish_text(VERB_STATUS, json, text);
		free(text);
	}
}

void operator_counted(struct instance *instance)
{
	if (!status_timer.armed)
		return;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g->survey.counting.running && !g->survey.counting.overdue)
			return;
	finish_status(instance);
}

/* Answers as soon as no count is running. */
static void begin_status(struct instance *instance)
{
	for (struct generation *g = instance->newest; g; g = g->older)
		(void)survey_begin(g, true); /* on failure the last count is shown */
	if (!status_timer.armed) {
		status_timer.fire = finish_status;
		status_timer.context = instance;
		loop_after(&status_timer, STATUS_PATIENCE);
	}
	operator_counted(instance);
}

static void request_status(
        struct instance *instance, struct control_client *client, int count, char **words)
{
	struct options options;
	char text[300];
	options_default(&options);
	if (options_parse(&options, VERB_STATUS, count, words, text, sizeof(text)) < 0)
		control_reply(client, EXIT_USAGE, text);
	else {
		control_keep(client, VERB_STATUS, options.json);
		begin_status(instance);
	}
	options_deinit(&options);
}

/* ---- stop ---- */

static void request_stop(
        struct instance *instance, struct control_client *client, int count, char **words)
{
	struct options options;
	char text[300];
	options_default(&options);
	int result = options_parse(&options, VERB_STOP, count, words, text, sizeof(text));
	bool at_once = options.now;
	options_deinit(&options);
	if (result < 0) {
		control_reply(client, EXIT_USAGE, text);
		return;
	}
	control_attach(client, VERB_STOP, false, LOG_LEVEL_NOTICE);
	transitions_event(instance, at_once ? EVENT_STOP_NOW : EVENT_STOP);
}

/* ---- all of them ---- */

void operator_request(void *context, struct control_client *client, int count, char **words)
{
	struct instance *instance = context;
	const char *verb = count > 0 ? words[0] : "";
	if (!strcmp(verb, "status"))
		request_status(instance, client, count - 1, words + 1);
	else if (!strcmp(verb, "list"))
		reply_text(client, status_line(instance));
	else if (!strcmp(verb, "upgrade"))
		request_upgrade(instance, client, count - 1, words + 1);
	else if (!strcmp(verb, "stop"))
		request_stop(instance, client, count - 1, words + 1);
	else if (!strcmp(verb, "ping"))
		control_reply(client, EXIT_DONE, NULL);
	else
		control_reply(client, EXIT_USAGE, "moult: the launcher does not know this request");
}

static void stop(struct instance *instance)
{
	transitions_event(instance, EVENT_STOP);
}

void operator_signalled(struct instance *instance, int signal)
{
	switch (signal) {
	case SIGHUP: request_upgrade(instance, NULL, 0, (char *[]){NULL}); break;
	case SIGTERM: kept_before_stop(instance, stop); break;
	case SIGINT:
	case SIGQUIT: transitions_event(instance, EVENT_STOP_NOW); break;
	case SIGUSR1:
		status_to_log = true;
		begin_status(instance);
		break;
	}
}
