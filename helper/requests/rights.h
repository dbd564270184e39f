/* SPDX-License-Identifier: MIT */
/* What a process of a generation may be handed (the table in shim/contract.h). */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/generation.h"

/*
 * May the process that asks have listener `i`, which is in the store?  Root may, and so may the
 * user whose process took the listener up, in this generation or, where this one does not hold it,
 * last.  A generation that was started as another user than the one before it may have what that
 * user could bind without us.  But a process that has given up the user its generation was started
 * as gets nothing more: a worker that was broken into is one of those.  `look`: at the listener's
 * path; NULL: it has none.
 */
bool right_to_take(const struct generation *generation, const struct listener *listener, uint32_t i,
        const struct request *request, const struct look *look);

/*
 * May a process of this generation bind new sockets?  An older one only gets what it holds already.
 */
bool right_to_bind(const struct generation *generation);
