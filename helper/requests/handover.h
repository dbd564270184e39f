/* SPDX-License-Identifier: MIT */
/*
 * A generation takes up a listener: a stored one, or its own, which the store then keeps.
 *
 * Which stored socket a bind() gets is decided in helper/requests/bind.h.  Who may ask for what is
 * said in shim/contract.h and decided in helper/requests/rights.h.
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * The generation takes up the stored listener `i`, on behalf of a process of user `uid`.
 * `nonblock`: O_NONBLOCK as the process has set it.  `shared`: bound with SO_REUSEPORT.
 */
void handover_take(struct instance *instance, struct generation *generation, uint32_t i,
        bool nonblock, bool shared, uid_t uid);

/*
 * The process gets the stored socket in place of the one it sent.  The one it sent becomes the
 * listener's template (helper/state/listener.h).
 */
struct answer handover_adopt(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request, struct received *received);

/*
 * MOULT_LISTEN without a listener: the socket does not listen, as far as the shim knows.  The
 * answer has the listener's number, and its socket if that takes the place of the process's own; or
 * -1: the socket is not handed over.
 */
struct answer handover_listen(struct instance *instance, struct generation *generation,
        const struct request *request, struct received *received);

/*
 * MOULT_LISTEN for a listener that the generation holds.  The answer has the backlog that the
 * process listens with; or listener -1: the process does not call listen().
 */
struct answer handover_listen_again(
        struct instance *instance, struct generation *generation, const struct request *request);

/* MOULT_CONNECTED: a datagram socket has a peer now. */
void handover_connected(
        struct instance *instance, struct generation *generation, const struct request *request);
