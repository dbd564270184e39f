/* SPDX-License-Identifier: MIT */
/*
 * A daemon connects to its own port before it binds the port, to learn whether another instance
 * runs.
 *
 * The connection would reach the earlier generation, and the daemon would refuse to start.  The shim
 * therefore asks first, and lets connect() fail if the launcher answers 0.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

struct answer probe_finds_earlier(
        struct instance *instance, struct generation *generation, const struct request *request);
