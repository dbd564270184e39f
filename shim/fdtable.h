/* SPDX-License-Identifier: MIT */
/*
 * What each descriptor number of this process is, as far as the shim cares.
 *
 * One flat table of 16-bit entries (pages that are never touched cost nothing), changed by plain
 * atomic stores: the number belongs to whoever opened it, so two threads that write one entry at
 * the same time are racing for the descriptor itself.  Numbers beyond the table are simply unknown.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fd_kind {
	FD_UNKNOWN = 0,
	FD_CONNECTION, /* accepted from a listener of ours */
	FD_EPOLL,      /* an epoll instance that watches, or watched, a listener of ours */
	FD_PRIVATE,    /* bound to a port of the kernel's choice, for one client */
	FD_LISTENER,   /* this and above: listener number kind - FD_LISTENER */
};

enum { FD_TABLE = 1 << 20 }; /* the kernel's default for fs.nr_open */

extern _Atomic uint16_t fd_table[FD_TABLE];
extern _Atomic int fd_table_end; /* no entry at or above is set */

static inline unsigned fd_kind(int fd)
{
	if ((unsigned)fd >= FD_TABLE)
		return FD_UNKNOWN;
	return atomic_load_explicit(&fd_table[fd], memory_order_relaxed);
}

/* The listener's number, or -1. */
static inline int fd_listener(int fd)
{
	return (int)fd_kind(fd) - FD_LISTENER < 0 ? -1 : (int)fd_kind(fd) - FD_LISTENER;
}

void fd_set_kind(int fd, unsigned kind);

/* A descriptor of this process that is that listener, or -1. */
int fd_of_listener(int listener);

/* How many descriptors of this process are that listener. */
unsigned fd_count(int listener);
