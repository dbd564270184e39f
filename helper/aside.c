/* SPDX-License-Identifier: MIT */
/* Files that keep a daemon from starting beside itself. */
#include "helper/aside.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "helper/log.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* Leftovers of killed launchers that nobody has looked after. */
enum { LEFTOVERS = 100 };

/* A name and the directory that it is in, as that was when we looked. */
struct place {
	int directory;
	const char *path; /* as the operator wrote it */
	char name[NAME_MAX + 1];
};

struct file {
	struct place place;
	char aside[NAME_MAX + 1];
};

static struct file *files;
static size_t file_count;

static void place_deinit(struct place *place)
{
	fd_close(&place->directory);
}

static void forget(void)
{
	while (file_count > 0)
		place_deinit(&files[--file_count].place);
	free(files);
	files = NULL;
}

static int place_init(struct place *place, const char *path)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) + 1 : 1;
	*place = (struct place){.directory = -1, .path = path};
	if (length >= sizeof(directory) || strlen(name) >= sizeof(place->name))
		return -ENAMETOOLONG;
	if (!*name || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EISDIR;
	memcpy(directory, slash ? path : ".", length);
	directory[length] = '\0';
	strcpy(place->name, name);
	place->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return place->directory < 0 ? -errno : 0;
}

/* What the file is called meanwhile; `number` when others have been left there. */
static int print_aside(const char *name, const char *instance, int number, char *text)
{
	char more[16] = "";
	if (number)
		snprintf(more, sizeof(more), ".%d", number);
	int length = snprintf(text, NAME_MAX + 1, "%s.aside-%s%s", name, instance, more);
	return length > NAME_MAX ? -ENAMETOOLONG : 0;
}

static bool is_there(int directory, const char *name)
{
	struct stat status;
	return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Never over another file; where the file system cannot say so in one step, in two. */
static int rename_to_free(int directory, const char *from, const char *to)
{
	if (syscall(SYS_renameat2, directory, from, directory, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -errno;
	if (is_there(directory, to))
		return -EEXIST;
	return renameat(directory, from, directory, to) < 0 ? -errno : 0;
}

/* ---- an upgrade begins ---- */

/* 0: renamed; 1: there is nothing to do. */
static int set_aside(struct instance *instance, struct file *file)
{
	struct place *place = &file->place;
	struct stat status;
	int result = -EEXIST;
	if (fstatat(place->directory, place->name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 1 : -errno;
	/* What it names is shared, or removed with all that is in it: no lock is worth that. */
	if (S_ISDIR(status.st_mode) || S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
		return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
	if (fdstore_find_file(&instance->store, place->directory, place->name) >= 0) {
		log_notice("--aside=%s: is a socket that moult hands over, and stays", place->path);
		return 1;
	}
	for (int number = 0; result == -EEXIST && number < LEFTOVERS; number++) {
		result = print_aside(place->name, instance->options->name, number, file->aside);
		if (result == 0)
			result = rename_to_free(place->directory, place->name, file->aside);
	}
	return result;
}

static int begin_one(struct instance *instance, const char *path)
{
	struct file *file = &files[file_count];
	int result = place_init(&file->place, path);
	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	if (result == 0)
		result = set_aside(instance, file);
	if (result == 0)
		file_count++;
	else
		place_deinit(&file->place);
	return result < 0 ? result : 0;
}

int aside_begin(struct instance *instance, char *const *paths, char *complaint, size_t size)
{
	size_t count = 0;
	int result = 0;
	forget();
	while (paths && paths[count])
		count++;
	if (!count)
		return 0;
	files = calloc(count, sizeof(*files));
	if (!files) {
		snprintf(complaint, size, "--aside: out of memory");
		return -ENOMEM;
	}
	for (size_t i = 0; i < count && result == 0; i++) {
		result = begin_one(instance, paths[i]);
		if (result < 0)
			snprintf(complaint, size, "--aside=%s: cannot be put aside: %s", paths[i],
			        result == -EINVAL ? "Is a device" : strerror(-result));
	}
	if (result < 0)
		aside_put_back();
	return result;
}

/* ---- and ends ---- */

void aside_keep(void)
{
	for (size_t i = 0; i < file_count; i++)
		if (unlinkat(files[i].place.directory, files[i].aside, 0) < 0 && errno != ENOENT)
			log_error("--aside=%s: %s beside it cannot be removed: %s",
			        files[i].place.path, files[i].aside, strerror(errno));
	forget();
}

/* In the opposite order, should one be named twice. */
void aside_put_back(void)
{
	for (size_t i = file_count; i-- > 0;) {
		const struct file *file = &files[i];
		int directory = file->place.directory;
		if (renameat(directory, file->aside, directory, file->place.name) < 0)
			log_error("--aside=%s: %s beside it cannot be put back: %s",
			        file->place.path, file->aside, strerror(errno));
	}
	forget();
}

/* ---- what a killed launcher has left ---- */

static void recover_one(const char *instance, const char *path)
{
	CLEANUP(place_deinit) struct place place;
	char name[NAME_MAX + 1], aside[NAME_MAX + 1];
	int last = -1;
	if (place_init(&place, path) < 0)
		return;
	for (int number = 0; number < LEFTOVERS; number++) {
		if (print_aside(place.name, instance, number, name) < 0)
			return;
		if (is_there(place.directory, name)) {
			last = number;
			memcpy(aside, name, sizeof(aside));
		}
	}
	if (last < 0)
		return;
	int result = rename_to_free(place.directory, aside, place.name);
	if (result == 0)
		log_notice("--aside=%s: put back what a killed launcher has left", path);
	else
		log_error("--aside=%s: a killed launcher has left %s beside it, which stays there: "
		          "%s",
		        path, aside, strerror(-result));
}

void aside_recover(const char *instance, char *const *paths)
{
	for (; paths && *paths; paths++)
		recover_one(instance, *paths);
}
