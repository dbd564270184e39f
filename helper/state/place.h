/* SPDX-License-Identifier: MIT */
/*
 * The place of a UNIX socket with a path: its directory and the last component of the path.
 *
 * A look (helper/process/paths.h) tells what a name in a directory leads to.
 */
#pragma once

#include "helper/process/paths.h"
#include "helper/state/identity.h"

/*
 * Sets the place of `identity`: `name` in the directory that `look` has found.  0, or -EINVAL and
 * nothing is changed: `name` is not a single component, or is too long.
 */
int place_set(struct identity *identity, const char *name, const struct look *look);

/*
 * Is the socket with that inode bound to the file that `look` has found?  The kernel says so, not
 * the daemon.  A kernel that does not tell the file tells the path: then the path must be absolute,
 * lead to the file, and be that of no other socket.  `directory`: a descriptor of the place.
 */
bool place_is_bound_to(
        uint64_t socket, const struct asker *asker, int directory, const struct look *look);
