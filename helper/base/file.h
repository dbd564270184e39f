/* SPDX-License-Identifier: MIT */
/*
 * A file of somebody else's, read in pieces.  It is untrusted input: it may shrink, be endless or
 * be made to be slow.  Never mapped, as one that shrinks meanwhile would be a SIGBUS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct file {
	int fd; /* ours to close; -1: it may be executed but not read */
	uint64_t size;
	unsigned reads; /* so far, and their bytes */
	uint64_t bytes;
	struct stat status;
};

/*
 * 0, with fd -1 if it may not be read, or not now (it has a lease); -EACCES: not a regular file;
 * other -errno.  Nothing but a regular file is ever opened: a device may act on that, and a FIFO
 * wait for somebody.
 */
int file_open(struct file *file, const char *path);

/* The same for what an O_PATH descriptor, which stays the caller's, refers to. */
int file_open_pinned(struct file *file, int pinned);

void file_close(struct file *file);

/* All of it or nothing; false also when it has been read too often. */
bool file_read(struct file *file, uint64_t offset, void *data, size_t size);
