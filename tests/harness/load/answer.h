/* SPDX-License-Identifier: MIT */
/* Checks answers: is the answer complete and right, and which generation sent it? */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "tests/harness/load/connection.h"

/* The length of the complete answer, 0 if it is not complete, -1 if it is malformed. */
ssize_t answer_length(const struct connection *c, bool ended);

/*
 * Is the complete answer right?  The first answer sets the tag of the connection (c->tag); later
 * answers must have the same tag.
 */
bool answer_check(struct connection *c);
