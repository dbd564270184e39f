/* SPDX-License-Identifier: MIT */
/*
 * What the descriptors of a set of processes are, from /proc/PID/fd and /proc/PID/fdinfo.
 *
 * For children of the launcher alone (helper/process/errand.h): how long a look takes, and whether
 * it ends, is up to the processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/kernel/inode_set.h"
#include "helper/kernel/tree.h"

/*
 * Sockets open in the processes of `set`.  *ret_unreadable: processes whose /proc/PID/fd we may not
 * read (another uid, not dumpable).  *ret_in_flight: descriptors in flight inside their UNIX
 * sockets (the sum of fdinfo's scm_fds).  A process that ended meanwhile holds nothing.  0 or
 * -errno.
 */
int audit_sockets(const struct pid_set *set, struct inode_set *ret_set, size_t *ret_unreadable,
        size_t *ret_in_flight);

/* Has a process of the set an io_uring, through which it may accept past the library? */
bool audit_uses_io_uring(const struct pid_set *set);

/*
 * Do epoll instances of the processes in `set` still watch these sockets?  Read from
 * /proc/PID/fdinfo, the kernel's truth, once for all of them; sorted by inode.  An instance that
 * several processes share counts once in each.  0; -EACCES when a process could not be looked at.
 */
struct audit_registration {
	uint64_t inode;
	size_t count;
	size_t exclusive; /* of them, with EPOLLEXCLUSIVE */
};
int audit_registrations(
        const struct pid_set *set, struct audit_registration *registrations, size_t count);
