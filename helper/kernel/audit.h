/* SPDX-License-Identifier: MIT */
/*
 * The kernel's tables of connections and listeners (helper/kernel/diag.h).  The connections of a set of
 * processes are the sockets on a listener's port that are also in /proc/PID/fd (descriptors.h):
 * audit_join().
 *
 * Counters inside the daemon would not do: fclose(), raw system calls, descriptors passed over
 * sockets, fork and SIGKILL make each of them wrong.
 *
 * Only a child of the launcher calls these functions (helper/process/errand.h), because the number
 * of sockets on the machine has no limit.  audit_handshakes() has a deadline and runs in the
 * launcher.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/kernel/inode_set.h"

/* Where a TCP listener listens. Only the port is compared. */
struct audit_port {
	int family;    /* AF_INET, AF_INET6 */
	uint16_t port; /* host order */
};

/*
 * Connections on one of `ports`: every TCP row that is not in LISTEN, TIME_WAIT or CLOSE and has an
 * inode.  A row without an inode is still in an accept queue, or the program has closed it and the
 * kernel still sends its data.  *ret_set is the caller's to release.  0 or -errno.
 */
int audit_connections(const struct audit_port *ports, size_t count, struct inode_set *ret_set);

/*
 * Adds to `set` the connections of UNIX stream and seqpacket listeners, which are named by their
 * inodes.  A connection whose other end is in `own` is not added: it is no client's.
 * *ret_internal: there is a connection with both ends in `own`, so the processes talk to each
 * other.  Where the kernel does not tell the other end, every connection is added, and one in `own`
 * may be internal, too.  `is_all`: `own` has all sockets of the processes.  0 or -errno.
 */
int audit_unix_connections(const uint64_t *listeners, size_t count, const struct inode_set *own,
        bool is_all, struct inode_set *set, bool *ret_internal);

/*
 * Adds UDP sockets that have a peer, on any port: a datagram service such as TFTP opens one for
 * each transfer.  0 or -errno.
 */
int audit_datagram_peers(struct inode_set *set);

/* The number of inodes that are in both sets. */
size_t audit_join(const struct inode_set *a, const struct inode_set *b);

/* TCP sockets in LISTEN of this network namespace. 0 or -errno; the caller frees *ret_rows. */
struct audit_listener {
	int family;
	uint16_t port;
	uint8_t address[16]; /* network order; the first 4 bytes for AF_INET */
	uint64_t inode;
};
int audit_listeners(struct audit_listener **ret_rows, size_t *ret_count);

/*
 * The ports with rows in SYN_RECV: these handshakes will still reach an accept queue.  Takes at
 * most about 100 ms.  0 or -errno.
 */
struct port_set;
int audit_handshakes(struct port_set *ret_ports);
