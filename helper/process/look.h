/* SPDX-License-Identifier: MIT */
/* What a name in a directory leads to. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A file as stat() identifies it. */
struct file_id {
	uint64_t device, inode;
};

static inline bool file_id_equal(struct file_id a, struct file_id b)
{
	return a.device == b.device && a.inode == b.inode;
}

/* What a name has led to, at one moment.  All further decisions are based on this one look. */
struct look {
	struct file_id directory, file;
	/*
	 * The file as the kernel's lists of sockets identify it: the device of the file system and
	 * the lower half of the inode's number.  On btrfs and overlayfs these differ from
	 * stat()'s.  0, 0: not known.
	 */
	uint32_t listed_device, listed_inode;
	mode_t mode; /* with the type; 0: there is no such file */
	uid_t uid;
	gid_t gid;
	uint64_t links;
	bool replaceable; /* the asker may create, remove or rename files there */
};
