/* SPDX-License-Identifier: MIT */
/* The launcher's end of the control socket (helper/control/protocol.h). */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/base/loop.h"
#include "helper/base/verb.h"

struct control_client;

/*
 * Called for each request: the verb and its words.  `words` end with NULL, valid until it returns.
 */
typedef void control_handler(void *context, struct control_client *client, int count, char **words);

/* Binds RUNTIME/NAME.sock.  0, or -errno with the reason for the operator in `reason`. */
int control_start(const char *name, control_handler *handler, void *context, char *reason,
        size_t reason_size);

/*
 * Removes the socket's path, ends the requests to stop, and closes the connections of all other
 * clients.  Call last: the next launcher may have the name, the pid file and the addresses now.
 */
void control_stop(void);

/* control_text() answers, any number of times; control_reply() answers and ends the request. */
void control_text(struct control_client *client, const char *text, size_t length);
void control_reply(struct control_client *client, int exit_status, const char *complaint);

/*
 * The client receives the log, up to level `most`, until control_finish() of its verb and `wait`.
 */
void control_attach(struct control_client *client, enum verb verb, bool wait, enum log_level most);

/* The client waits and receives nothing until control_finish_text() of its verb and `json`. */
void control_keep(struct control_client *client, enum verb verb, bool json);

/* Does a client wait so? The second ends all of them with `text`; NULL: "out of memory". */
bool control_has_kept(enum verb verb, bool json);
void control_finish_text(enum verb verb, bool json, const char *text);

/* Ends the requests attached with this verb and `wait` (only upgrade ever has it). */
void control_finish(enum verb verb, bool wait, int exit_status);

/* Sends a progress line to all attached clients; on a terminal it replaces the one before. */
void control_progress(const char *format, ...) PRINTF(1, 2);
