/* SPDX-License-Identifier: MIT */
/*
 * The path of a UNIX socket is renamed, replaced or removed.
 *
 * A live socket's path must exist at every instant, and name the stored socket, or clients could
 * not connect.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * MOULT_MOVED.  Notes the new place and keeps the request's directory, whose descriptor in the
 * request is -1 afterwards.
 */
struct answer unix_path_moved(
        struct instance *instance, struct generation *generation, struct request *request);

/* MOULT_REPLACE and MOULT_UNLINKED, see shim/contract.h. */
struct answer unix_path_replace(
        struct instance *instance, struct generation *generation, struct request *request);
struct answer unix_path_unlinked(
        struct instance *instance, struct generation *generation, const struct request *request);
