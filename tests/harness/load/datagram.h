/* SPDX-License-Identifier: MIT */
/*
 * A datagram client: asks one question, which has a number.  The socket stays open for a while
 * after the answer, to see whether a second answer comes.
 */
#pragma once

#include <stdbool.h>

#include "tests/harness/load/connection.h"

/* Sends the question.  Returns 0 or -errno. */
int datagram_ask(struct connection *c);

/* Reads until EAGAIN. */
void datagram_step(struct connection *c);

/* Ends the client: no second answer has come in time. */
void datagram_end(struct connection *c);
