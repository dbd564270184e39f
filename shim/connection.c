/* SPDX-License-Identifier: MIT */
/* Counting accepted connections in this process's slot. */
#include "shim/connection.h"

#include <stddef.h>

#include "shim/fdtable.h"
#include "shim/member.h"

void connection_opened(int fd)
{
	struct moult_slot *slot = member_slot();
	atomic_fetch_add_explicit(&slot->accepted, 1, memory_order_relaxed);
	fd_set_kind(fd, FD_CONNECTION);
}

void connection_closing(int fd)
{
	/* A forked child that closes what its parent accepted has no slot: the parent counts. */
	struct moult_slot *slot = member_slot_if_any();
	if (slot)
		atomic_fetch_add_explicit(&slot->closed, 1, memory_order_relaxed);
	fd_set_kind(fd, FD_UNKNOWN);
}
