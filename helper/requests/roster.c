/* SPDX-License-Identifier: MIT */
/* The roster: which generations the broker serves. */
#include "helper/requests/roster.h"

#include <stddef.h>

#include "helper/kernel/tree.h"

struct roster_entry *roster_find(struct roster *roster, uint32_t generation)
{
	for (size_t i = 0; generation && i < ROSTER_MOST; i++)
		if (atomic_load(&roster->entries[i].generation) == generation)
			return &roster->entries[i];
	return NULL;
}

void roster_note_stuck(struct roster_entry *entry, pid_t pid)
{
	for (size_t i = 0; i < STUCK_MOST; i++)
		if (!tree_lives(atomic_load(&entry->stuck[i]))) {
			atomic_store(&entry->stuck[i], pid);
			return;
		}
}

bool roster_is_cut_off(const struct roster_entry *entry)
{
	for (size_t i = STUCK_MOST; i-- > 0;)
		if (!tree_lives(atomic_load(&entry->stuck[i])))
			return false;
	return true;
}
