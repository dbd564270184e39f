/* SPDX-License-Identifier: MIT */
/* Counts accepted connections in this process's slot. */
#include "shim/connection.h"

#include <stddef.h>

#include "shim/fdtable.h"
#include "shim/member.h"
#include "shim/member_slot.h"

/* The last process that accepted.  A forked child finds its parent here. */
static _Atomic uint32_t acceptor;

bool connection_is_session(void)
{
	uint32_t pid = atomic_load_explicit(&acceptor, memory_order_relaxed);
	return pid && pid != (uint32_t)member_pid();
}

bool connection_is_acceptor(void)
{
	return atomic_load_explicit(&acceptor, memory_order_relaxed) == (uint32_t)member_pid();
}

void connection_opened(int fd)
{
	struct moult_slot *slot = member_slot();
	atomic_fetch_add_explicit(&slot->accepted, 1, memory_order_relaxed);
	fd_set_kind(fd, FD_CONNECTION);
	if (atomic_load_explicit(&acceptor, memory_order_relaxed) != (uint32_t)member_pid() &&
	        !member_is_borrowed())
		atomic_store_explicit(&acceptor, (uint32_t)member_pid(), memory_order_relaxed);
}

void connection_closing(int fd)
{
	/*
	 * A forked child that closes what its parent accepted has no slot, and counts nothing: the
	 * parent counts.
	 */
	struct moult_slot *slot = member_slot_if_any();
	if (slot)
		atomic_fetch_add_explicit(&slot->closed, 1, memory_order_relaxed);
	fd_set_kind(fd, FD_UNKNOWN);
}
