/* SPDX-License-Identifier: MIT */
/*
 * A daemon connects to its own port before it binds the port, to learn whether another instance
 * runs.
 *
 * The connection would reach the earlier generation, and the daemon would refuse to start.  So the
 * shim asks before such a connect(), and makes connect() fail if the answer is 0.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

/* MOULT_CALLING.  0: the connection would reach a listener that only earlier generations hold. */
struct answer probe_finds_earlier(
        struct instance *instance, struct generation *generation, const struct request *request);
