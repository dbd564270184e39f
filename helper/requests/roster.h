/* SPDX-License-Identifier: MIT */
/*
 * The roster: memory that the launcher, the keepers and the broker share.  It has the generations
 * that the broker serves, and says how long the broker has been busy.
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
	 * When the broker began to work on its present message, and for which generation; 0: it is
	 * idle.  The broker writes.
	 */
	_Atomic int64_t busy_since;
	_Atomic uint32_t busy_with;
	struct roster_entry {
		_Atomic uint32_t generation; /* 0: free. The launcher writes */
		_Atomic int32_t keeper;      /* 0: not started yet. The keeper writes */
		/*
		 * Brokers and their children that hang in the kernel, and cannot be killed, because
		 * of a descriptor that this generation has sent; 0: none.  Launcher and broker
		 * write.
		 */
		_Atomic int32_t stuck[STUCK_MOST];
		char token[MOULT_TOKEN_DIGITS];
	} entries[ROSTER_MOST];
};

/* The entry of that generation; NULL: it has none. */
struct roster_entry *roster_find(struct roster *roster, uint32_t generation);

/* That process may hang because of this generation.  It takes the place of one that has ended. */
void roster_note_stuck(struct roster_entry *entry, pid_t pid);

/* Do STUCK_MOST of them hang?  Then nothing is received from that generation. */
bool roster_is_cut_off(const struct roster_entry *entry);
