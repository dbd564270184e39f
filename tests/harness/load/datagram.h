/* SPDX-License-Identifier: MIT */
/*
 * A datagram: a connection of one question.  Its socket carries a number, asks once, and is kept open for a while
 * after the answer, to see whether a second answer comes.
 */
#pragma once

#include <stdbool.h>

#include "tests/harness/load/connection.h"

/* Sends the question.  Returns 0 or -errno. */
int datagram_ask(struct connection *c);

/* Reads until EAGAIN. */
void datagram_step(struct connection *c);

/* The time for a second answer is over. */
void datagram_end(struct connection *c);
