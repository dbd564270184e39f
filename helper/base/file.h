/* SPDX-License-Identifier: MIT */
/*
 * Reads a file of another user in pieces.  The file is untrusted input: it may shrink, be
 * endless or answer slowly.  It is never mapped: access to a mapping of a file that has shrunk is a
 * SIGBUS.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct file {
	int fd; /* closed by file_close(); -1: the file may not be read */
	uint64_t size;
	unsigned reads; /* calls of file_read() so far, and their bytes */
	uint64_t bytes;
	struct stat status;
};

/*
 * 0, with fd -1 if the file may not be read, or not now (another process holds a lease on it); -EACCES:
 * not a regular file; other -errno.  Only a regular file is ever opened: opening a device may make
 * the device act, and opening a FIFO may wait for its other end.
 */
int file_open(struct file *file, const char *path);

/* The same for the file of an O_PATH descriptor, which stays the caller's. */
int file_open_pinned(struct file *file, int pinned);

void file_close(struct file *file);

/* Reads all `size` bytes, else returns false; also false after too many reads of this file. */
bool file_read(struct file *file, uint64_t offset, void *data, size_t size);
