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

/* The generation takes up the stored listener `i`. */
void handover_take(struct instance *instance, struct generation *generation, uint32_t i,
        bool nonblock, bool shared, uid_t uid);

/*
 * The same, in place of the socket that was received.  That socket becomes the listener's template.
 */
struct answer handover_adopt(struct instance *instance, struct generation *generation, uint32_t i,
        const struct request *request, struct received *received);

/* listen() on a socket that is not a listener of this generation yet. */
struct answer handover_listen(struct instance *instance, struct generation *generation,
        const struct request *request, struct received *received);

/* listen() on a listener that the generation holds. */
struct answer handover_listen_again(
        struct instance *instance, struct generation *generation, const struct request *request);

/* A datagram socket has been connected to a peer. */
void handover_connected(
        struct instance *instance, struct generation *generation, const struct request *request);
