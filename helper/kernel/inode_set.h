/* SPDX-License-Identifier: MIT */
/*
 * Sorted sets of socket inodes.  The inode number identifies a socket in all tables of the kernel.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* All zero: empty. The array belongs to the set: sorted, without duplicates. */
struct inode_set {
	uint64_t *inodes;
	size_t count;
	size_t allocated;
};

void inode_set_deinit(struct inode_set *set);

/* Appends without sorting: inode_set_sort() must follow before any other use. 0 or -ENOMEM. */
int inode_set_add(struct inode_set *set, uint64_t inode);

/* Sorts, and removes duplicates. */
void inode_set_sort(struct inode_set *set);

bool inode_set_has(const struct inode_set *set, uint64_t inode);

/* Keeps the elements of `set` that are in `other` (kept), or those that are not in it (!kept). */
void inode_set_filter(struct inode_set *set, const struct inode_set *other, bool kept);

/* For qsort() and bsearch(): the order of two uint64_t. */
int inode_compare(const void *a, const void *b);
