/* SPDX-License-Identifier: MIT */
/* Translates user ids of the parent user namespace into those of this process's namespace. */
#include "shim/userns.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>

#include "shim/raw.h"

/* A line of /proc/self/uid_map: first uid inside, first uid outside, number of uids. */
struct line {
	uint64_t number[3];
	unsigned count; /* numbers that have begun so far */
	bool in_number;
};

/* Adds one character.  Returns true at the end of the line. */
static bool line_add(struct line *line, char c)
{
	if (c < '0' || c > '9') {
		line->in_number = false;
		return c == '\n';
	}
	if (!line->in_number && line->count < 3)
		line->number[line->count++] = 0;
	line->in_number = true;
	uint64_t *number = &line->number[line->count - 1];
	*number = *number * 10 + (uint64_t)(c - '0');
	return false;
}

/* Reads the file in small parts, because the daemon's stack may be small. */
int userns_uid(uint32_t outside, uint32_t *ret_uid)
{
	struct line line = {.count = 0};
	char text[32];
	int result = -ENOENT;
	long count, file = raw(SYS_openat, AT_FDCWD, "/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return (int)file;
	while (result == -ENOENT && (count = raw(SYS_read, file, text, sizeof(text))) > 0)
		for (long i = 0; i < count; i++) {
			if (!line_add(&line, text[i]))
				continue;
			if (line.count == 3 && outside - line.number[1] < line.number[2]) {
				*ret_uid = (uint32_t)(line.number[0] + outside - line.number[1]);
				result = 0;
			}
			line = (struct line){.count = 0};
		}
	raw(SYS_close, file);
	return count < 0 ? (int)count : result;
}
