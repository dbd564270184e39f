/* SPDX-License-Identifier: MIT */
/* Sets of socket inodes. */
#include "helper/kernel/inode_set.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/base/util.h"

void inode_set_deinit(struct inode_set *set)
{
	free(set->inodes);
	*set = (struct inode_set){0};
}

int inode_compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

bool inode_set_has(const struct inode_set *set, uint64_t inode)
{
	return set->count > 0 &&
	       bsearch(&inode, set->inodes, set->count, sizeof(inode), inode_compare);
}

void inode_set_filter(struct inode_set *set, const struct inode_set *other, bool kept)
{
	size_t left = 0;

	for (size_t i = 0; i < set->count; i++)
		if (inode_set_has(other, set->inodes[i]) == kept)
			set->inodes[left++] = set->inodes[i];
	set->count = left;
}

int inode_set_add(struct inode_set *set, uint64_t inode)
{
	uint64_t *larger = array_grow(set->inodes, set->count, &set->allocated, sizeof(inode));

	if (!larger)
		return -ENOMEM;
	set->inodes = larger;
	set->inodes[set->count++] = inode;
	return 0;
}

void inode_set_sort(struct inode_set *set)
{
	size_t kept = 0;

	if (set->count > 0)
		qsort(set->inodes, set->count, sizeof(*set->inodes), inode_compare);
	for (size_t i = 0; i < set->count; i++)
		if (i == 0 || set->inodes[i] != set->inodes[i - 1])
			set->inodes[kept++] = set->inodes[i];
	set->count = kept;
}
