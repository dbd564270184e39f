/* SPDX-License-Identifier: MIT */
/* The directories of /proc in which each name is the number of a descriptor. */
#pragma once

#include <stdint.h>

/* As getdents64() gives them. */
struct procfs_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* The number that a name is, or -1. */
int procfs_number(const char *name);

/* `start`, and the number behind it, in `room` (PROCFS_DIGITS more than `start`, with its NUL). */
enum { PROCFS_DIGITS = 11 };
const char *procfs_name(const char *start, int number, char *room);
