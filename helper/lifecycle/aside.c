/* SPDX-License-Identifier: MIT */
/* Files that keep a daemon from starting beside itself. */
#include "helper/lifecycle/aside.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "helper/base/log.h"
#include "helper/process/walk.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

enum {
	DIGITS = 16,     /* random, so that nobody can occupy all possible names */
	ENTRIES = 10000, /* at most so many are read of a directory by aside_recover() */
};

/* A name and its directory.  The directory is pinned: a later rename of it changes nothing here. */
struct place {
	int directory;
	const char *path; /* as the operator wrote it */
	char name[NAME_MAX + 1];
};

struct aside_file {
	struct place place;
	char aside[NAME_MAX + 1];
	struct file_id id; /* of the file that was renamed */
};

static struct aside_file *files;
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
	*place = (struct place){.path = path};
	place->directory = walk_to_directory(path, place->name);
	return place->directory < 0 ? place->directory : 0;
}

/* The name of the file while it is aside, without the digits. Its length or -ENAMETOOLONG. */
static int print_prefix(const char *name, const char *instance, char *text)
{
	int length = snprintf(text, NAME_MAX + 1, "%s.aside-%s.", name, instance);
	return length + DIGITS > NAME_MAX ? -ENAMETOOLONG : length;
}

static int print_aside(const char *name, const char *instance, char *text)
{
	unsigned long long random;
	int length = print_prefix(name, instance, text);
	if (length < 0)
		return length;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	snprintf(text + length, DIGITS + 1, "%016llx", random);
	return 0;
}

static bool is_there(int directory, const char *name)
{
	struct stat status;
	return fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
}

/* 0 or -errno. -EISDIR: a directory; -EINVAL: a device.  Neither is ever put aside. */
static int identify(int directory, const char *name, struct stat *ret_status)
{
	if (fstatat(directory, name, ret_status, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(ret_status->st_mode))
		return -EISDIR;
	return S_ISCHR(ret_status->st_mode) || S_ISBLK(ret_status->st_mode) ? -EINVAL : 0;
}

static struct file_id id_of(const struct stat *status)
{
	return (struct file_id){status->st_dev, status->st_ino};
}

/* Does the name aside still mean the file that was renamed? */
static bool is_unchanged(const struct aside_file *file)
{
	struct stat status;
	return identify(file->place.directory, file->aside, &status) == 0 &&
	       file_id_equal(id_of(&status), file->id);
}

/*
 * Renames without replacing another file.  A file system without RENAME_NOREPLACE needs two steps:
 * a look, then the rename.
 */
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

/* Another file may take the name between the look and the rename: that file is renamed back. */
static int rename_aside(struct aside_file *file)
{
	struct place *place = &file->place;
	int result = rename_to_free(place->directory, place->name, file->aside);
	if (result == 0 && !is_unchanged(file)) {
		(void)rename_to_free(place->directory, file->aside, place->name);
		result = -EAGAIN;
	}
	return result;
}

/* 0: renamed; 1: the file stays where it is; -errno: the upgrade is refused. */
static int set_aside(struct instance *instance, struct aside_file *file)
{
	struct place *place = &file->place;
	struct stat status;
	int result = identify(place->directory, place->name, &status);
	if (result == -ENOENT)
		return 1;
	/*
	 * A directory is never put aside: both generations may use its contents, and a removal
	 * after the upgrade would have to remove them.  Another user's directory must not refuse
	 * the upgrade.
	 */
	if (result == -EISDIR && status.st_uid != geteuid()) {
		log_error("--aside=%s: is another user's directory, and stays", place->path);
		return 1;
	}
	if (result < 0)
		return result;
	file->id = id_of(&status);
	if (fdstore_find_file(&instance->store, file->id) >= 0) {
		log_notice("--aside=%s: is a socket that moult hands over, and stays", place->path);
		return 1;
	}
	result = print_aside(place->name, instance->name, file->aside);
	if (result == 0)
		result = rename_aside(file);
	if (result == -ENOENT || result == -EAGAIN) { /* another process was faster */
		log_error("--aside=%s: another process has just changed it, and it stays",
		        place->path);
		return 1;
	}
	return result;
}

static int begin_one(struct instance *instance, const char *path)
{
	struct aside_file *file = &files[file_count];
	int result = place_init(&file->place, path);
	if (result == -ENOENT || result == -ENOTDIR)
		return 0;
	if (result == -EPERM) {
		log_error("--aside=%s: a symbolic link on the way to it is in a directory that "
		          "others may write to; the file stays",
		        path);
		return 0;
	}
	if (result == 0)
		result = set_aside(instance, file);
	if (result == 0)
		file_count++;
	else
		place_deinit(&file->place);
	return result < 0 ? result : 0;
}

/* What a unit of systemd may lack. */
static const char *remedy(int error)
{
	if (error == -EACCES && geteuid() == 0)
		return "; add CAP_DAC_OVERRIDE to CapabilityBoundingSet= of the unit";
	if (error == -EROFS)
		return "; add its directory to ReadWritePaths= of the unit";
	return "";
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
			snprintf(complaint, size, "--aside=%s: cannot be put aside: %s%s", paths[i],
			        result == -EINVAL ? "Is a device" : strerror(-result),
			        remedy(result));
	}
	if (result < 0)
		aside_put_back();
	return result;
}

/* ---- and ends ---- */

static void say_changed(const struct aside_file *file)
{
	log_error("--aside=%s: another process has replaced %s beside it, which stays",
	        file->place.path, file->aside);
}

void aside_keep(void)
{
	for (size_t i = 0; i < file_count; i++) {
		const struct aside_file *file = &files[i];
		if (!is_unchanged(file))
			say_changed(file);
		else if (unlinkat(file->place.directory, file->aside, 0) < 0 && errno != ENOENT)
			log_error("--aside=%s: %s beside it cannot be removed: %s",
			        file->place.path, file->aside, strerror(errno));
	}
	forget();
}

/* In the opposite order: if two paths name one file, the file put aside first is the right one. */
void aside_put_back(void)
{
	for (size_t i = file_count; i-- > 0;) {
		const struct aside_file *file = &files[i];
		int directory = file->place.directory;
		if (!is_unchanged(file))
			say_changed(file);
		else if (renameat(directory, file->aside, directory, file->place.name) < 0)
			log_error("--aside=%s: %s beside it cannot be put back: %s",
			        file->place.path, file->aside, strerror(errno));
	}
	forget();
}

/* ---- what a killed launcher has left ---- */

static bool is_left(const char *entry, const char *prefix, size_t length)
{
	return !strncmp(entry, prefix, length) && strlen(entry + length) == DIGITS &&
	       strspn(entry + length, "0123456789abcdef") == DIGITS;
}

/*
 * Finds the file that was put aside last.  Another user who may write to the directory may have
 * made such a name.  That user could have made the old name as well.
 */
static bool find_left(const struct place *place, const char *instance, char *ret_name)
{
	char prefix[NAME_MAX + 1];
	struct timespec last = {0};
	bool found = false;
	int length = print_prefix(place->name, instance, prefix);
	int fd =
	        length < 0 ? -1 : openat(place->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	if (!list) {
		fd_close(&fd);
		return false;
	}
	for (int i = 0; i < ENTRIES; i++) {
		struct stat status;
		const struct dirent *entry = readdir(list);
		if (!entry)
			break;
		if (!is_left(entry->d_name, prefix, (size_t)length) ||
		        identify(place->directory, entry->d_name, &status) < 0)
			continue;
		struct timespec at = status.st_ctim; /* rename() sets it */
		if (found && (at.tv_sec < last.tv_sec ||
		                     (at.tv_sec == last.tv_sec && at.tv_nsec < last.tv_nsec)))
			continue;
		found = true;
		last = at;
		strcpy(ret_name, entry->d_name);
	}
	closedir(list);
	return found;
}

static void recover_one(const char *instance, const char *path)
{
	CLEANUP(place_deinit) struct place place;
	char aside[NAME_MAX + 1];
	if (place_init(&place, path) < 0 || !find_left(&place, instance, aside))
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
