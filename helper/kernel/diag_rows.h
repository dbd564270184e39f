/* SPDX-License-Identifier: MIT */
/* Rows of the kernel's list of sockets, and sets of ports. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
