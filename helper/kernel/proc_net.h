/* SPDX-License-Identifier: MIT */
/*
 * The kernel's list of sockets as text: /proc/self/net/tcp, tcp6, udp, udp6 and unix.
 *
 * This is for a launcher that cannot ask sock_diag (helper/kernel/diag.h): a sandbox without
 * AF_NETLINK, or a kernel without the modules.  The text says less.  The peer and the file of a
 * UNIX socket and its unread bytes are not known, and reading it takes longer.
 *
 * The kernel locks nothing between two reads of such a file, so a row can be missed when another
 * row goes meanwhile.  Each file is therefore read twice, and a row may be there twice.
 */
#pragma once

#include "helper/base/util.h"
#include "helper/kernel/diag_rows.h"

/* Appends TCP sockets in these states (bits). 0; -ETIMEDOUT at `deadline`; -errno. */
int proc_net_tcp(unsigned states, nanoseconds deadline, struct diag_rows *rows);

/* Appends the UDP sockets that have a peer. 0 or -errno. */
int proc_net_udp_connected(struct diag_rows *rows);

/*
 * Appends the UNIX sockets: inode, name, state and type.  `name` is a hash of the name alone: two
 * sockets may have been bound to the same name, one after the other.  `queued` is UINT32_MAX: not
 * known.  0 or -errno.
 */
int proc_net_unix(struct diag_rows *rows);

/*
 * One UNIX socket.  If it listens, `queued` is the number of connections that were made to its name
 * and have not been accepted: another listener may have the same name, so the number may be too
 * large.  0; -ENOENT: there is none with this inode; -ETIMEDOUT at `deadline`; -errno.
 */
int proc_net_unix_one(uint64_t inode, nanoseconds deadline, struct diag_row *ret_row);

/*
 * The absolute path to which that UNIX socket has been bound.  0; -EEXIST: another socket has been
 * bound to the same path, or the name looks like two (it holds the end of a line); -ENOENT: no such
 * socket, or no absolute path; -ETIMEDOUT; -errno.
 */
int proc_net_unix_path(uint64_t inode, nanoseconds deadline, char *path, size_t size);
