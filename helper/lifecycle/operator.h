/* SPDX-License-Identifier: MIT */
/* Requests of operators, by a command (helper/cli/client.h) or by a signal. */
#pragma once

#include "helper/control/server.h"
#include "helper/state/instance.h"

/* A control_handler; the context is the instance. */
void operator_request(void *context, struct control_client *client, int count, char **words);

/* HUP upgrades, TERM stops, INT and QUIT stop now, USR1 logs the status. */
void operator_signalled(struct instance *instance, int signal);

/* To be called when a count has ended or a generation has gone: the status may wait for that. */
void operator_counted(struct instance *instance);
