/* SPDX-License-Identifier: MIT */
/* What a name in a directory leads to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* As stat() has it. */
struct file_id {
	uint64_t device, inode;
};

static inline bool file_id_equal(struct file_id a, struct file_id b)
{
	return a.device == b.device && a.inode == b.inode;
}

/* What a name leads to, once; all that follows from it is decided from this. */
struct look {
	struct file_id directory, file;
	/*
	 * The file as the kernel's lists of sockets have it: the device of the file system and the
	 * lower half of the inode's own number, which on btrfs and overlayfs are others than stat()'s.
	 * 0, 0: not known.
	 */
	uint32_t listed_device, listed_inode;
	mode_t mode; /* with the type; 0: nothing has that name */
	uid_t uid;
	gid_t gid;
	uint64_t links;
	bool replaceable; /* the asker may make, remove or rename something there */
};
