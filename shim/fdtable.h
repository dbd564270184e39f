/* SPDX-License-Identifier: MIT */
/*
 * What each descriptor number of this process is, as far as the shim cares.
 *
 * One flat table of 16-bit entries (pages that are never touched cost nothing), changed by plain
 * atomic stores: the number belongs to whoever opened it, so two threads that write one entry at
 * the same time are racing for the descriptor itself.  The exception is a thread that has only looked
 * at the descriptor (fd_set_foreign).  Numbers beyond the table are simply unknown.
 *
 * A vfork child has this table, but descriptors of its own.  fd_set_kind() does nothing there, and
 * so asks for the pid, with the exception of what every accept() and close() writes: that a number
 * is a connection, or that nothing is known of it.  A connection is a count, and accept() looks at
 * what it is called on if the table does not say "listener"; so the exception does no harm.
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
	/* This and above: looked at when the list of listeners had that edition, and was none. */
	FD_FOREIGN = 0x8000,
	FD_EDITIONS = 0x8000,
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

static inline int fd_kind_listener(unsigned kind)
{
	return kind >= FD_LISTENER && kind < FD_FOREIGN ? (int)(kind - FD_LISTENER) : -1;
}

/* The listener's number, or -1. */
static inline int fd_listener(int fd)
{
	return fd_kind_listener(fd_kind(fd));
}

void fd_set_kind(int fd, unsigned kind);

/*
 * `fd`, of which the table said `before` (FD_UNKNOWN or FD_FOREIGN), has been looked at, and `foreign`
 * (FD_FOREIGN and above) has been found.  Unless the table says something else by now: another thread
 * may have made it a listener since the look.
 */
void fd_set_foreign(int fd, unsigned before, unsigned foreign);

/* A descriptor of this process that is that listener, or -1. */
int fd_of_listener(int listener);

/* How many descriptors of this process are that listener. */
unsigned fd_count(int listener);
