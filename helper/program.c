/* SPDX-License-Identifier: MIT */
/* The file that a generation executes, kept. */
#include "helper/program.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/lookup.h"
#include "helper/util.h"

static int find(const char *name, char *path, size_t size)
{
	const struct lookup lookup = {.path = getenv("PATH"), .root = ""};
	return lookup_program(&lookup, name, path, size);
}

int program_keep(const char *name)
{
	char path[PATH_MAX];
	if (find(name, path, sizeof(path)) < 0)
		return -1;
	return open(path, O_PATH | O_CLOEXEC);
}

static bool is_elf(int kept)
{
	char path[32], magic[SELFMAG];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", kept);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	return fd >= 0 && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
	       memcmp(magic, ELFMAG, sizeof(magic)) == 0;
}

bool program_is_replaced(int kept, const char *name)
{
	char path[PATH_MAX];
	struct stat before, after;
	if (kept < 0 || fstat(kept, &before) < 0)
		return false;
	if (find(name, path, sizeof(path)) == 0 && stat(path, &after) == 0 &&
	        before.st_dev == after.st_dev && before.st_ino == after.st_ino)
		return false;
	return is_elf(kept);
}
