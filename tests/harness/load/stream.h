/* SPDX-License-Identifier: MIT */
/* A stream connection: sends requests, checks the answers, and ends in order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/harness/load/connection.h"

/* Reads and writes until EAGAIN, because events are edge-triggered. */
void stream_step(struct connection *c, uint32_t events);

/* Sends the request of a persistent connection. */
void stream_ask_again(struct connection *c);

/* Sends the farewell, shuts down the sending side, and waits for the server's end of file. */
void stream_close(struct connection *c);
