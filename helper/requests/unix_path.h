/* SPDX-License-Identifier: MIT */
/*
 * The path of a UNIX socket is renamed, replaced or removed.
 *
 * A function that keeps a directory of the request sets the request's descriptor to -1.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

struct answer unix_path_moved(
        struct instance *instance, struct generation *generation, struct request *request);
struct answer unix_path_replace(
        struct instance *instance, struct generation *generation, struct request *request);
struct answer unix_path_unlinked(
        struct instance *instance, struct generation *generation, const struct request *request);
