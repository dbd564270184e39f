/* SPDX-License-Identifier: MIT */
/*
 * The connections that a generation may still have, where its processes may not be looked at.
 *
 * The kernel lists all connections on a port, and does not say who has them.  But a generation
 * whose gates are closed accepts no more: every connection that it has is in the list of the first
 * count after that, and what comes into the list later belongs to others.  So the set of that first
 * count only shrinks.  The number is an upper bound: connections that the next generation has
 * accepted between the switch and that first count are in the set as well.
 */
#pragma once

#include "helper/kernel/inode_set.h"
#include "helper/state/instance.h"

/*
 * In the launcher, before it starts the child that counts the connections of `generation`.  Looks
 * at what the daemon's processes write, which the child cannot do.
 */
struct remains_moment remains_prepare(struct generation *generation);

/*
 * In the child: keeps those of `connections` that the generation may have.  If their number is
 * final, they go to the launcher with the answer.
 */
void remains_narrow(const struct generation *generation, const struct remains_moment *moment,
        struct inode_set *connections);

/* In the launcher: notes the set that the child has sent (a file; -1: none). */
void remains_take(struct generation *generation, const struct remains_moment *moment, int parcel);
