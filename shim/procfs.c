/* SPDX-License-Identifier: MIT */
/* The directories of /proc in which each name is a descriptor's number: fd and fdinfo. */
#include "shim/procfs.h"

#include <stddef.h>

int procfs_number(const char *name)
{
	int number = 0;
	if (!*name)
		return -1;
	for (; *name >= '0' && *name <= '9'; name++)
		number = number * 10 + (*name - '0');
	return *name ? -1 : number;
}

const char *procfs_name(const char *start, int number, char *room)
{
	char digits[PROCFS_DIGITS];
	size_t length = 0, count = 0;
	for (; start[length]; length++)
		room[length] = start[length];
	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	while (count)
		room[length++] = digits[--count];
	room[length] = '\0';
	return room;
}
