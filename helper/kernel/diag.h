/* SPDX-License-Identifier: MIT */
/*
 * The kernel's list of sockets: NETLINK_SOCK_DIAG dumps (sock_diag(7)), or /proc/self/net where the
 * kernel or a sandbox does not allow these (helper/kernel/proc_net.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "helper/base/util.h"

/* The parts of a row that we keep, for all kinds of sockets. */
struct diag_row {
	uint64_t inode;
	/*
	 * UNIX: a hash of the name and of the file that the socket is bound to.  An accepted socket
	 * has both from its listener.  0: no name.
	 */
	uint64_t name;
	uint64_t peer;   /* UNIX: the inode of the other end; 0: none, or not accepted yet */
	uint32_t queued; /* UNIX: unread bytes; of a listener: connections not accepted yet */
	uint32_t limit;  /* UNIX listener: the backlog */
	/*
	 * UNIX: the file of the name: the low half of its inode, and its device as MKDEV(); 0: none
	 */
	uint32_t file, file_device;
	uint16_t port; /* TCP, UDP: local, host order */
	uint8_t family;
	uint8_t state;
	uint8_t type; /* UNIX: SOCK_STREAM... */
	bool vague;   /* UNIX, from /proc: peer, limit and file are 0 because they are not known */
	uint8_t address[16]; /* TCP: local, network order */
};

struct diag_rows {
	struct diag_row *rows;
	size_t count;
	size_t allocated;
};

/* A set of ports. */
struct port_set {
	uint8_t bits[65536 / 8];
};

static inline bool port_set_has(const struct port_set *ports, uint16_t port)
{
	return ports->bits[port / 8] & (1u << (port % 8));
}

static inline void port_set_add(struct port_set *ports, uint16_t port)
{
	ports->bits[port / 8] |= (uint8_t)(1u << (port % 8));
}

void diag_rows_deinit(struct diag_rows *rows);
int diag_rows_add(struct diag_rows *rows, const struct diag_row *row);

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
