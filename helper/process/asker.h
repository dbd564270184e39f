/* SPDX-License-Identifier: MIT */
/* The process on whose behalf an operation on a path is done, and its credentials. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ASKER_GROUPS = 64 };

/* On whose behalf. A plain value. */
struct asker {
	uint32_t generation; /* to which time-outs are charged */
	pid_t pid;           /* its mounts are known, too; 0: none */
	uid_t uid;
	gid_t gid;
	gid_t groups[ASKER_GROUPS];
	size_t group_count;
};

/*
 * The process at the other end of a UNIX connection, by the kernel's word.  Of more than ASKER_GROUPS
 * groups it has none here: that gives no right away.  0 or -errno.
 */
int asker_of_peer(int connection, uint32_t generation, struct asker *ret_asker);

/*
 * This process, a child of the launcher, takes the asker's credentials.  False: it could not take all
 * of them, and must do nothing.
 */
bool asker_become(const struct asker *asker);
