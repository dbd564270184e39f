/* SPDX-License-Identifier: MIT */
/* What each descriptor number of this process is. */
#include "shim/fdtable.h"

#include "shim/member.h"

_Static_assert(FD_LISTENER + MOULT_LISTENERS <= FD_FOREIGN, "every listener has a kind");

_Atomic uint16_t fd_table[FD_TABLE];
_Atomic int fd_table_end;

static _Atomic uint16_t listener_fds[MOULT_LISTENERS];

static void extend_table(int fd)
{
	int end = atomic_load_explicit(&fd_table_end, memory_order_relaxed);
	while (fd >= end && !atomic_compare_exchange_weak(&fd_table_end, &end, fd + 1))
		;
}

void fd_set_kind(int fd, unsigned kind)
{
	if ((unsigned)fd >= FD_TABLE)
		return;
	unsigned before = fd_kind(fd);
	if (before == kind)
		return;
	if ((before <= FD_CONNECTION || before >= FD_FOREIGN) && kind <= FD_CONNECTION) {
		/* The common case, a connection: no listener_fds changes, so a store is enough. */
		atomic_store_explicit(&fd_table[fd], kind, memory_order_relaxed);
	} else {
		if (member_is_borrowed())
			return;
		before = atomic_exchange(&fd_table[fd], kind);
		if (fd_kind_listener(before) >= 0)
			atomic_fetch_sub(&listener_fds[fd_kind_listener(before)], 1);
		if (fd_kind_listener(kind) >= 0)
			atomic_fetch_add(&listener_fds[fd_kind_listener(kind)], 1);
	}
	if (kind != FD_UNKNOWN)
		extend_table(fd);
}

void fd_set_foreign(int fd, unsigned before, unsigned foreign)
{
	uint16_t expected = (uint16_t)before;
	if ((unsigned)fd >= FD_TABLE || before == foreign || member_is_borrowed())
		return;
	if (atomic_compare_exchange_strong(&fd_table[fd], &expected, (uint16_t)foreign))
		extend_table(fd);
}

unsigned fd_count(int listener)
{
	return atomic_load(&listener_fds[listener]);
}

int fd_of_listener(int listener)
{
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++)
		if (fd_listener(fd) == listener)
			return fd;
	return -1;
}
