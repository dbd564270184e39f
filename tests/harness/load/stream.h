/* SPDX-License-Identifier: MIT */
/* A connection that asks and is answered, and ends in good order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/load/connection.h"

/* Does everything that is possible now: events are edge-triggered, so until EAGAIN. */
void stream_step(struct connection *c, uint32_t events);

/* Sends the request of a persistent connection. */
void stream_ask_again(struct connection *c);

/* Says that nothing more will come, and waits for the end of file of the server. */
void stream_close(struct connection *c);
