/* SPDX-License-Identifier: MIT */
/*
 * Binding beside an overlapping address.
 *
 * A new version may listen on all addresses where the old one listened on one, on both families
 * where the old one listened on IPv4, or the reverse.  The store has no socket for the new address,
 * and bind() fails with EADDRINUSE because of the stored one.  The kernel binds two overlapping
 * addresses beside each other only if both sockets have SO_REUSEPORT.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"
#include "helper/state/pending.h"

/*
 * MOULT_BIND_BESIDE.  0: the stored sockets have SO_REUSEPORT now, so the process sets it and tries
 * again.  -EADDRINUSE: the conflict is a real one.
 */
struct answer beside_allow(
        struct instance *instance, struct generation *generation, const struct request *request);

/*
 * The socket `fd` is bound.  Each socket's SO_REUSEPORT becomes what its daemon has set, so that
 * any other bind() to such an address fails as it would without moult.
 */
void beside_end(struct instance *instance, const struct generation *generation,
        const struct pending *pending, int fd);
