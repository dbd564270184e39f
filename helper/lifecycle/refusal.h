/* SPDX-License-Identifier: MIT */
/* Upgrades that are refused at once, before anything is started. */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/control/server.h"
#include "helper/state/instance.h"

/* An operator's request for an upgrade. */
struct upgrade_request {
	struct control_client *client; /* NULL: SIGHUP; the answer goes to the log */
	const struct settings *settings;
	bool wait;            /* for the end of the older generations, too */
	enum log_level level; /* of the log that the client receives */
};

/*
 * True: the upgrade is refused, the operator has the reason, and the status counts a failure.
 * Refused are a program that cannot load our library, one without a listener, and one that cannot
 * be executed.
 */
bool refusal_check(struct instance *instance, const struct upgrade_request *request);

/* Refuses for the reason in `text`.  `counts`: the status counts a failed upgrade. */
void refusal_answer(struct instance *instance, struct control_client *client, int exit_status,
        const char *text, bool counts);
