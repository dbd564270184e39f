/* SPDX-License-Identifier: MIT */
/*
 * Sockets between bind() and listen(): what is known of them until they are added to the fd store.
 *
 * The daemon announces a socket when it binds it.  The launcher adds the socket to the store when
 * the daemon listens, and then trusts the announcement only as far as the kernel confirms it.
 */
#pragma once

#include "helper/state/fdstore.h"

/*
 * Remembers a socket until it is added.  Consumes `directory`, also on failure.  NULL: out of
 * memory.  If the generation has PENDING_OF_ONE sockets pending, its oldest one is forgotten: such
 * a socket is not going to listen.
 */
enum { PENDING_OF_ONE = 512 };
struct pending *fdstore_expect(struct fdstore *store, uint64_t socket,
        const struct identity *identity, int directory, const struct asker *asker);

/* The pending socket with that inode, or NULL. */
struct pending *fdstore_expected(struct fdstore *store, uint64_t socket);

/*
 * The pending socket that is bound to the file that `look` has found, or NULL.  Asks the kernel,
 * since a path may have been used again.
 */
struct pending *fdstore_pending_at(struct fdstore *store, const struct look *look);

/*
 * `asker` has renamed the pending socket's path to `name` in `directory`, where `look` saw it.  0,
 * and `directory` is consumed; or -EINVAL: see place_set().
 */
int pending_set_place(struct pending *pending, const struct asker *asker, int directory,
        const char *name, const struct look *look);

/* Forgets all pending sockets of a generation that has ended. */
void fdstore_expect_no_more(struct fdstore *store, uint32_t generation);

/*
 * Adds a socket, with what is known of it as a pending one.  Consumes `fd`, also on failure.
 * `oldest`: the oldest generation that lives.  The listener's number, or -errno.
 */
int fdstore_add_consume(struct fdstore *store, int fd, uint32_t oldest);
