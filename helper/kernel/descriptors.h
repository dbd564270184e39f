/* SPDX-License-Identifier: MIT */
/*
 * The descriptors of a set of processes, from /proc/PID/fd and /proc/PID/fdinfo.
 *
 * Only a child of the launcher calls these functions (helper/process/errand.h): the processes
 * decide how long a look takes, and whether it ends.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/kernel/inode_set.h"
#include "helper/kernel/tree.h"

/*
 * The sockets that are open in the processes of `set`; *ret_set is the caller's to release.
 * *ret_unreadable: the number of processes whose /proc/PID/fd we may not read (another uid, not
 * dumpable).  *ret_in_flight: the number of descriptors in flight inside their UNIX sockets (the
 * sum of scm_fds in fdinfo).  A process that has ended holds nothing.  0 or -errno.
 */
int audit_sockets(const struct pid_set *set, struct inode_set *ret_set, size_t *ret_unreadable,
        size_t *ret_in_flight);

/* Does a process of the set have an io_uring? It may accept through it, unseen by the library. */
bool audit_uses_io_uring(const struct pid_set *set);

/*
 * How often the epoll instances of the processes in `set` watch each of these sockets, from
 * /proc/PID/fdinfo.  The caller fills in the inodes and zeros; the rows come back sorted by inode.
 * An instance that several processes share counts once in each.  0; -EACCES: a process could not be
 * looked at; other -errno.
 */
struct audit_registration {
	uint64_t inode;
	size_t count;
	size_t exclusive; /* the part of `count` with EPOLLEXCLUSIVE */
};
int audit_registrations(
        const struct pid_set *set, struct audit_registration *registrations, size_t count);
