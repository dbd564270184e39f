/* SPDX-License-Identifier: MIT */
/*
 * Which socket a generation gets when it binds or listens: the one of the fd store that it means, or
 * its own, which the store then keeps.
 *
 * The requests are those of shim/contract.h, decoded (helper/requests/request.h); who may ask what is said
 * there, and decided here and in helper/requests/rights.h.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/instance.h"

struct answer {
	struct moult_reply reply;
	int fds[MOULT_DESCRIPTORS]; /* to be sent along, and still ours; -1: none */
};

/* What came along and may be kept; it is -1 where it has been taken over. */
struct received {
	int socket;
};

struct answer handover_bind(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received);
struct answer handover_calling(
        struct instance *instance, struct generation *generation, const struct request *request);
struct answer handover_bind_beside(
        struct instance *instance, struct generation *generation, const struct request *request);

/* listen() on a socket that is no listener yet; and again, or on an adopted one. */
struct answer handover_listen(struct instance *instance, struct generation *generation,
        const struct request *request, struct received *received);
struct answer handover_listen_again(
        struct instance *instance, struct generation *generation, const struct request *request);

/*
 * Paths of UNIX sockets that the daemon has renamed or removed.  A directory that is kept is -1 in
 * the request afterwards.
 */
struct answer handover_moved(
        struct instance *instance, struct generation *generation, struct request *request);
struct answer handover_replace(
        struct instance *instance, struct generation *generation, struct request *request);
struct answer handover_unlinked(
        struct instance *instance, struct generation *generation, const struct request *request);

/* A datagram socket has a peer now. */
void handover_connected(
        struct instance *instance, struct generation *generation, const struct request *request);
