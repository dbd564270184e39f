/* SPDX-License-Identifier: MIT */
/* The drop-in that puts a unit under moult. */
#include "helper/unit/dropin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/base/util.h"

enum { TEXT_MAX = 1024 * 1024 };

static const char NAME[] = "zz-moult.conf";
/* Not *.conf: systemd does not read it. */
static const char NEW_NAME[] = ".zz-moult.conf.new";
static const char *const way[] = {"etc", "systemd", "system"};

void dropin_path(const char *unit, char *path, size_t size)
{
	(void)snprintf(path, size, "/etc/systemd/system/%s.d/%s", unit, NAME);
}

const char *dropin_explain(int error)
{
	switch (error) {
	case -EEXIST: return "somebody else has written this file";
	case -EPERM:
		return "it, or a directory on the way, is a symbolic link or not of root alone";
	case -ENOTDIR: return "a directory on the way is none";
	default: return strerror(-error);
	}
}

static bool is_of_root_alone(const struct stat *status)
{
	return status->st_uid == geteuid() && !(status->st_mode & (S_IWGRP | S_IWOTH));
}

/* Goes from *at, which it closes, to an entry.  -ENOENT: not there, and not `create`. */
static int enter(int *at, const char *name, bool create)
{
	CLEANUP(fd_close) int before = *at;
	struct stat status;

	*at = -1;
	if (create && mkdirat(before, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	*at = openat(before, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*at < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
	if (fstat(*at, &status) < 0)
		return -errno;
	return is_of_root_alone(&status) ? 0 : -EPERM;
}

/* The directory of all units, then, with `unit`, that of its drop-ins.  The caller closes *at. */
static int enter_all(const char *unit, bool create, int *at)
{
	char name[NAME_MAX + 1];
	int result = 0;

	*at = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*at < 0)
		return -errno;
	for (size_t i = 0; i < COUNT(way) && result == 0; i++)
		result = enter(at, way[i], false);
	if (result < 0 || !unit)
		return result;
	if ((size_t)snprintf(name, sizeof(name), "%s.d", unit) >= sizeof(name))
		return -ENAMETOOLONG;
	return enter(at, name, create);
}

/* The whole file, if it is ours. */
static int read_own(int directory, char **ret_text)
{
	CLEANUP(fd_close)
	int fd = openat(directory, NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	CLEANUP(string_free) char *text = NULL;
	struct stat status;
	ssize_t n;

	*ret_text = NULL;
	if (fd < 0)
		return errno == ENOENT ? 0 : errno == ELOOP ? -EPERM : -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || !is_of_root_alone(&status))
		return -EPERM;
	if (status.st_size > TEXT_MAX)
		return -EEXIST;
	text = calloc(1, (size_t)status.st_size + 1);
	if (!text)
		return -ENOMEM;
	n = read(fd, text, (size_t)status.st_size);
	if (n < 0)
		return -errno;
	if (strncmp(text, DROPIN_MARK, strlen(DROPIN_MARK)) != 0)
		return -EEXIST;
	*ret_text = text;
	text = NULL;
	return 0;
}

int dropin_read(const char *unit, char **ret_text)
{
	CLEANUP(fd_close) int directory = -1;
	int result = enter_all(unit, false, &directory);

	*ret_text = NULL;
	if (result < 0)
		return result == -ENOENT ? 0 : result;
	return read_own(directory, ret_text);
}

static int write_all(int fd, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t n = write(fd, text, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		length -= (size_t)n;
	}
	return fchmod(fd, 0644) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int replace(int directory, const char *text)
{
	CLEANUP(fd_close) int fd = -1;
	int result;

	/* What a killed command has left */
	if (unlinkat(directory, NEW_NAME, 0) < 0 && errno != ENOENT)
		return -errno;
	fd = openat(
	        directory, NEW_NAME, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	result = write_all(fd, text, strlen(text));
	if (result == 0 && renameat(directory, NEW_NAME, directory, NAME) < 0)
		result = -errno;
	if (result < 0)
		(void)unlinkat(directory, NEW_NAME, 0);
	else
		(void)fsync(directory);
	return result;
}

/* Fails, and does nothing, while the directory has other files. */
static void remove_directory(const char *unit)
{
	CLEANUP(fd_close) int units = -1;
	char name[NAME_MAX + 1];

	if (enter_all(NULL, false, &units) < 0)
		return;
	(void)snprintf(name, sizeof(name), "%s.d", unit);
	(void)unlinkat(units, name, AT_REMOVEDIR);
}

int dropin_write(const char *unit, const char *text)
{
	CLEANUP(fd_close) int directory = -1;
	CLEANUP(string_free) char *before = NULL;
	int result = enter_all(unit, true, &directory);

	if (result == 0)
		result = read_own(directory, &before);
	if (result == 0)
		result = replace(directory, text);
	if (result < 0)
		remove_directory(unit);
	return result;
}

int dropin_remove(const char *unit)
{
	CLEANUP(fd_close) int directory = -1;
	CLEANUP(string_free) char *before = NULL;
	int result = enter_all(unit, false, &directory);

	if (result == 0)
		result = read_own(directory, &before);
	if (result == 0 && before && unlinkat(directory, NAME, 0) < 0)
		result = -errno;
	if (result == 0)
		remove_directory(unit);
	return result == -ENOENT ? 0 : result;
}
