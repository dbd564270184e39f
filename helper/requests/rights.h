/* SPDX-License-Identifier: MIT */
/* What a process of a generation may bind, and which listeners it may get (shim/contract.h). */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/generation.h"

/*
 * May the process that asks have the stored listener `i`?  These may:
 *   - root;
 *   - the user whose process took the listener up: in this generation if it holds the listener,
 *     else in the last one that did;
 *   - if this generation does not hold the listener, the user that this generation was started as,
 *     provided that this user could bind the address without moult.  So a new version may run as
 *     another user than the old one.
 *
 * A process that has changed to a third user gets nothing: a worker that an attacker has taken over
 * is such a process.  `look`: at the listener's path; NULL: the listener has none.
 */
bool right_to_take(const struct generation *generation, const struct listener *listener, uint32_t i,
        const struct request *request, const struct look *look);
