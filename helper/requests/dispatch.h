/* SPDX-License-Identifier: MIT */
/* Each checked request goes to the function that answers it. */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * Answers the request.  A function that keeps the socket in `received` or a directory of the
 * request sets that descriptor to -1; the caller closes the others.
 */
struct answer dispatch_request(
        struct instance *instance, struct request *request, struct received *received);
