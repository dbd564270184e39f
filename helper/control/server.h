/* SPDX-License-Identifier: MIT */
/* The launcher's end of the control socket (helper/control/protocol.h). */
#pragma once

#include <stdbool.h>

#include "helper/base/log.h"
#include "helper/base/loop.h"
#include "helper/base/verb.h"

struct control_client;

/* One request. `words` end with NULL and live until the call returns. */
typedef void control_handler(void *context, struct control_client *client, int count, char **words);

/* Binds RUNTIME/NAME.sock.  0, or -errno with the reason for the operator in `reason`. */
int control_start(const char *name, control_handler *handler, void *context, char *reason,
        size_t reason_size);

/* Removes the socket's path and sends away whoever is still connected. */
void control_stop(void);

/* Answers; the last two of them end the request. */
void control_text(struct control_client *client, const char *text, size_t length);
void control_reply(struct control_client *client, int exit_status, const char *complaint);

/* The client stays and sees the log, up to `most`, until control_finish() of its verb. */
void control_attach(struct control_client *client, enum verb verb, bool wait, enum log_level most);

/* The client stays, and hears nothing until control_finish_text(). */
void control_keep(struct control_client *client, enum verb verb, bool json);

/* Is there one? And ends all of them with that text; NULL: there is no memory for it. */
bool control_has_kept(enum verb verb, bool json);
void control_finish_text(enum verb verb, bool json, const char *text);

/* Ends all attached requests of that verb (and, for upgrade, with or without --wait). */
void control_finish(enum verb verb, bool wait, int exit_status);

/* To terminals of attached clients: replaces the line before it. */
void control_progress(const char *format, ...) PRINTF(1, 2);
