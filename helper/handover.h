/* SPDX-License-Identifier: MIT */
/*
 * Which socket a generation gets when it binds or listens: the one of the fd store that it means, or
 * its own, which the store then keeps.
 *
 * The requests are those of shim/contract.h.  `fds` are the two descriptors that may have come
 * along, -1 for none; what has been taken over is -1 afterwards.
 */
#pragma once

#include "helper/instance.h"

struct answer {
	struct moult_reply reply;
	int fd; /* to be sent along, and still the store's; -1: none */
};

void handover_init(struct instance *instance);

/* `asker` is the process that asks: what is done with a path is done on its behalf. */
struct answer handover_bind(struct generation *generation, const struct asker *asker,
        const struct moult_request *request, int *fds);
struct answer handover_calling(struct generation *generation, const struct asker *asker,
        const struct moult_request *request, int *fds);
struct answer handover_yield(struct generation *generation, const struct asker *asker,
        const struct moult_request *request, int *fds);
struct answer handover_listen(
        struct generation *generation, const struct moult_request *request, int *fds);

/* Paths of UNIX sockets that the daemon has renamed or removed. */
struct answer handover_moved(
        const struct asker *asker, const struct moult_request *request, int *fds);
struct answer handover_replace(struct generation *generation, const struct asker *asker,
        const struct moult_request *request, int *fds);

struct answer handover_unlinked(struct generation *generation, const struct asker *asker,
        const struct moult_request *request, const int *fds);

/* A datagram socket has a peer now. */
void handover_connected(struct generation *generation, int listener);
