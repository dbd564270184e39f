/* SPDX-License-Identifier: MIT */
/*
 * Keeps the file that a generation executes.  A process of its own looks for the file (apart.h),
 * since a file system on the way may hang.
 */
#include "helper/process/program.h"

#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/base/file.h"
#include "helper/base/util.h"
#include "helper/process/apart.h"
#include "helper/process/lookup.h"

static int find(const char *name, char *path, size_t size)
{
	const struct lookup lookup = {.path = getenv("PATH"), .root = ""};
	return lookup_program(&lookup, name, path, size);
}

struct question {
	const char *name;
	int kept;
};

static void keep_apart(void *context, void *report, int *ret_pinned)
{
	const struct question *question = context;
	char path[PATH_MAX];
	(void)report;
	if (find(question->name, path, sizeof(path)) == 0)
		*ret_pinned = open(path, O_PATH | O_CLOEXEC);
}

int program_keep(const char *name)
{
	struct question question = {name, -1};
	const struct apart apart = {keep_apart, &question, sizeof(uint32_t), -1};
	uint32_t nothing;
	int pinned;
	return apart_run(&apart, &nothing, &pinned) < 0 ? -1 : pinned;
}

static bool is_elf(int kept)
{
	CLEANUP(file_close) struct file file = {.fd = -1};
	char magic[SELFMAG];
	return file_open_pinned(&file, kept) == 0 && file_read(&file, 0, magic, sizeof(magic)) &&
	       memcmp(magic, ELFMAG, sizeof(magic)) == 0;
}

static void compare_apart(void *context, void *report, int *ret_pinned)
{
	const struct question *question = context;
	uint32_t *is_replaced = report;
	char path[PATH_MAX];
	struct stat before, after;
	(void)ret_pinned;
	if (fstat(question->kept, &before) < 0)
		return;
	if (find(question->name, path, sizeof(path)) == 0 && stat(path, &after) == 0 &&
	        before.st_dev == after.st_dev && before.st_ino == after.st_ino)
		return;
	*is_replaced = is_elf(question->kept);
}

bool program_is_replaced(int kept, const char *name)
{
	struct question question = {name, kept};
	const struct apart apart = {compare_apart, &question, sizeof(uint32_t), kept};
	uint32_t is_replaced;
	return kept >= 0 && apart_run(&apart, &is_replaced, NULL) == 0 && is_replaced;
}
