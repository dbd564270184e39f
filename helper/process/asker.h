/* SPDX-License-Identifier: MIT */
/* The process on whose behalf an operation on a path is done, and its credentials. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ASKER_GROUPS = 64 };

/* A plain value. */
struct asker {
	uint32_t generation; /* which pays for slow operations: helper/process/path_budget.h */
	pid_t pid;           /* to look up a mount in its mount namespace; 0: none */
	uid_t uid;
	gid_t gid;
	gid_t groups[ASKER_GROUPS];
	size_t group_count;
};

/*
 * The process at the other end of a UNIX connection, as the kernel has recorded it.  If it has more
 * than ASKER_GROUPS supplementary groups it has none here, which only takes rights away.  0 or
 * -errno.
 */
int asker_of_peer(int connection, uint32_t generation, struct asker *ret_asker);

/*
 * This process, a child of the launcher, takes the asker's credentials.  False: it could not, and
 * must do nothing.
 */
bool asker_become(const struct asker *asker);
