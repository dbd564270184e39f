/* SPDX-License-Identifier: MIT */
/*
 * Which connections a set of processes holds, by the kernel's word: the TCP sockets whose local
 * port is a listener's (sock_diag), joined with the sockets in /proc/PID/fd.
 *
 * Counters kept inside the daemon cannot say it: fclose(), raw system calls, descriptors passed
 * over sockets, fork and SIGKILL make each of them wrong.
 *
 * For children of the launcher alone (helper/process/errand.h), but for audit_handshakes(): how long a look
 * takes, and whether it ends, is up to the processes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/kernel/inode_set.h"

/* The socket a listener is, as the store knows it. */
struct audit_port {
	int family;    /* AF_INET, AF_INET6 */
	uint16_t port; /* host order */
};

/*
 * Connections on one of `ports`: every TCP row that is neither LISTEN nor TIME_WAIT and has an
 * inode (0: still in an accept queue, or closed by the program with data leaving).  0 or -errno.
 */
int audit_connections(const struct audit_port *ports, size_t count, struct inode_set *ret_set);

/*
 * The same for UNIX stream and seqpacket listeners, named by their inodes.  Where the other end is
 * one of `own`, the processes talk to each other: no client of theirs, and told by *ret_internal.
 */
int audit_unix_connections(const uint64_t *listeners, size_t count, const struct inode_set *own,
        struct inode_set *set, bool *ret_internal);

/*
 * What a service on datagrams keeps: UDP sockets with a peer, on whatever port (a transfer of its own
 * each, as TFTP has it).  Added to the set.  0 or -errno.
 */
int audit_datagram_peers(struct inode_set *set);

/* How many inodes are in both. */
size_t audit_join(const struct inode_set *a, const struct inode_set *b);

/* Listening TCP sockets (rows in LISTEN) of this network namespace. 0 or -errno. */
struct audit_listener {
	int family;
	uint16_t port;
	uint8_t address[16]; /* network order; the first 4 bytes for AF_INET */
	uint64_t inode;
};
int audit_listeners(struct audit_listener **ret_rows, size_t *ret_count);

/* The ports with rows in SYN_RECV: handshakes that will still reach an accept queue. 0 or -errno. */
struct port_set;
int audit_handshakes(struct port_set *ret_ports);
