/* SPDX-License-Identifier: MIT */
/*
 * What each descriptor number of this process is, as far as the shim needs to know.
 *
 * The table is flat, with 16-bit entries; pages that are never touched cost nothing.  Atomic stores
 * change it: a number belongs to the thread that opened it, so two threads that write one entry at
 * the same time already race for the descriptor itself.  The exception is a thread that has only
 * looked at the descriptor (fd_set_foreign).  Numbers beyond the table are unknown.
 *
 * A vfork child shares this table, but has its own descriptors.  So fd_set_kind() does nothing in a
 * vfork child, which costs a getpid().  One write happens without this check, because every
 * accept() and close() does it: FD_CONNECTION or FD_UNKNOWN over an entry that is neither a
 * listener nor an epoll instance nor private.  This write does no harm: connections are only
 * counted, and accept() looks at every descriptor that the table does not call a listener.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum fd_kind {
	FD_UNKNOWN = 0,
	FD_CONNECTION, /* accepted from a listener of ours */
	FD_EPOLL,      /* an epoll instance that watches, or watched, a listener of ours */
	FD_PRIVATE,    /* bound to a port that the kernel chose, for one client */
	FD_LISTENER,   /* this and above: listener number kind - FD_LISTENER */
	/*
	 * This and above: the descriptor was looked at and was no listener.  kind - FD_FOREIGN is
	 * the edition of the list of listeners at that time.
	 */
	FD_FOREIGN = 0x8000,
	FD_EDITIONS = 0x8000,
};

enum { FD_TABLE = 1 << 20 }; /* the kernel's default for fs.nr_open */

extern _Atomic uint16_t fd_table[FD_TABLE];
extern _Atomic int fd_table_end; /* no entry at or above this number is set */

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

/* The listener that the table has for `fd`, or -1. */
static inline int fd_listener(int fd)
{
	return fd_kind_listener(fd_kind(fd));
}

void fd_set_kind(int fd, unsigned kind);

/*
 * Stores the result of a look at `fd`: `foreign` is FD_FOREIGN or above, and `before` is what the
 * table said before the look.  Stores nothing if the table says something else by now: another
 * thread may have made `fd` a listener since the look.
 */
void fd_set_foreign(int fd, unsigned before, unsigned foreign);

/* The lowest descriptor of this process that is `listener`, or -1. */
int fd_of_listener(int listener);

/* How many descriptors of this process are `listener`. */
unsigned fd_count(int listener);
