/* SPDX-License-Identifier: MIT */
/* The directories of /proc in which each name is a descriptor's number: fd and fdinfo. */
#pragma once

#include <stdint.h>

/* A directory entry, as getdents64(2) returns it. */
struct procfs_entry {
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* The number that `name` spells, or -1 if `name` is not a number. */
int procfs_number(const char *name);

/*
 * Writes `start` and then `number` into `room`, and returns `room`.  `room` needs strlen(start) +
 * PROCFS_DIGITS bytes; this includes the NUL.
 */
enum { PROCFS_DIGITS = 11 };
const char *procfs_name(const char *start, int number, char *room);
