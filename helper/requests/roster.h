/* SPDX-License-Identifier: MIT */
/*
 * Memory that the launcher, the keepers and the broker share: who is a member, and how the broker
 * gets on.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/contract.h"

enum { ROSTER_MOST = 128, STUCK_MOST = 4 };

struct roster {
	/*
	 * The broker is at a message since then, of that generation; 0: it waits. The broker
	 * writes.
	 */
	_Atomic int64_t busy_since;
	_Atomic uint32_t busy_with;
	struct roster_entry {
		_Atomic uint32_t generation; /* 0: free. The launcher writes */
		_Atomic int32_t keeper;      /* 0: not started yet. The keeper writes */
		/*
		 * Brokers and children of them that hang in the kernel because of what this
		 * generation has sent, and cannot be killed; 0: none.  Launcher and broker write.
		 */
		_Atomic int32_t stuck[STUCK_MOST];
		char token[MOULT_TOKEN_DIGITS];
	} entries[ROSTER_MOST];
};

/* NULL: it is not enrolled. */
struct roster_entry *roster_find(struct roster *roster, uint32_t generation);

/*
 * A process may hang because of what that generation has sent. One that has ended counts no more.
 */
void roster_note_stuck(struct roster_entry *entry, pid_t pid);

/* STUCK_MOST of them hang just now: nothing more is received from that generation. */
bool roster_is_cut_off(const struct roster_entry *entry);
