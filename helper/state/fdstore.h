/* SPDX-License-Identifier: MIT */
/*
 * The fd store: a duplicate of every listening socket and of every bound datagram socket, so that
 * its queue outlives every generation.  Both kinds are called listeners.
 *
 * The store keeps what the kernel says of a socket, never what a daemon claims.  A listener's
 * number is its index in the store and on every generation's board.  When a listener has gone, its
 * number is used again for the same address, or for any address once no generation lives that had
 * it.
 */
#pragma once

#include "helper/base/util.h"
#include "helper/process/paths.h"
#include "helper/state/identity.h"
#include "helper/state/listener.h"

/* A socket that is bound, or is about to be, and not in the store yet: helper/state/pending.h */
struct pending {
	uint64_t inode;
	nanoseconds since; /* of its generation's first pending request for that address */
	struct identity identity;
	bool ephemeral;
	bool overlapping;   /* overlaps an address in the store: bound by means of SO_REUSEPORT */
	bool reuseport;     /* the daemon itself had set SO_REUSEPORT */
	int directory;      /* O_PATH, the store's to close; -1: none */
	struct asker asker; /* the process that binds it */
	int replaces;       /* the listener over whose path it has been renamed; -1: none */
};

struct fdstore {
	struct listener *listeners;
	uint32_t count;
	size_t allocated;
	struct pending *pending; /* the oldest first */
	size_t pending_count, pending_allocated;
};

/* Closes every descriptor of the store and frees it. */
void fdstore_deinit(struct fdstore *store);

/*
 * The first listener after `after` (-1: from the start) that bind() to `wanted` means, or -1.
 * Port 0 means the next TCP listener that was bound to port 0 on that address before its generation
 * served.  A path means the socket that it names now, by `look` (NULL: not a path).
 */
int fdstore_find(const struct fdstore *store, const struct identity *wanted,
        const struct look *look, int after);

/* The live listener with exactly this identity, or -1. */
int fdstore_find_equal(const struct fdstore *store, const struct identity *identity);

/* The listener with this inode that has not gone, or -1. */
int fdstore_find_inode(const struct fdstore *store, uint64_t inode);

/* The live UNIX listener bound to that file, or -1. */
int fdstore_find_file(const struct fdstore *store, struct file_id file);

/*
 * The number for a new listener with that identity: the former number if its address comes back;
 * else the number of a listener that every living generation has forgotten; else a new one.  The
 * caller writes the listener there.  `oldest`: the oldest generation that lives.  -ENOSPC, -ENOMEM.
 */
int fdstore_number(struct fdstore *store, const struct identity *identity, uint32_t oldest);
