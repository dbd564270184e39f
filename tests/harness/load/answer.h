/* SPDX-License-Identifier: MIT */
/* An answer: is it complete, is it the right one, and who gave it? */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "tests/harness/load/connection.h"

/* The length of the complete answer, 0 if it is not complete, -1 if it is none at all. */
ssize_t answer_length(const struct connection *c, bool ended);

/*
 * Is the complete answer the right one?  The first one says whose the connection is (c->tag); later ones must
 * come from the same.
 */
bool answer_check(struct connection *c);
