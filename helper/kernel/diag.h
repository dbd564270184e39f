/* SPDX-License-Identifier: MIT */
/*
 * The kernel's list of sockets: NETLINK_SOCK_DIAG dumps (sock_diag(7)), or /proc/self/net where the
 * kernel or a sandbox does not allow these (helper/kernel/proc_net.h).
 */
#pragma once

#include "helper/base/util.h"
#include "helper/kernel/diag_rows.h"

/*
 * TCP rows of both families of this network namespace, in these states (bits, 1 << TCP_LISTEN), on
 * these local ports (NULL: any).  `rows` is empty at first: with `ports`, rows of other ports that
 * are in it are removed.  0; -ETIMEDOUT at `deadline`, as any user may open any number of sockets;
 * -errno.
 */
int diag_tcp(unsigned states, const struct port_set *ports, nanoseconds deadline,
        struct diag_rows *rows);

/* Appends the UDP sockets of both families that have a peer. 0 or -errno. */
int diag_udp_connected(struct diag_rows *rows);

/*
 * Appends the UNIX sockets.  0 or -errno; -ENOENT: this kernel cannot list them.  Vague rows have
 * UINT32_MAX in `queued`, and may be there twice.
 */
int diag_unix(struct diag_rows *rows);

/*
 * One UNIX socket.  0; -ENOENT: there is none with this inode; -ETIMEDOUT after 100 ms; -errno.  A
 * vague row may have a too large `queued`.
 */
int diag_unix_one(uint64_t inode, struct diag_row *ret_row);

/*
 * Does the kernel answer sock_diag for all of these?  0, or the -errno of the first that it does not
 * answer.  *ret_module: the module that is missing; NULL: there is no netlink socket at all.
 */
int diag_try(const char **ret_module);
