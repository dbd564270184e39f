/* SPDX-License-Identifier: MIT */
/* Walks to the directory of a path that the operator has named. */
#include "helper/process/walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/base/util.h"

enum { LINKS = 40 }; /* the kernel's own limit (MAXSYMLINKS) */

/* Can only root and the launcher's user have put entries there? */
static bool is_trusted(int directory)
{
	struct stat status;
	return fstat(directory, &status) == 0 &&
	       (status.st_uid == 0 || status.st_uid == geteuid()) &&
	       !(status.st_mode & (S_IWGRP | S_IWOTH));
}

static int open_start(const char *path)
{
	int fd = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Moves the first component of `rest` to `ret_name`. */
static void take_component(char *rest, char *ret_name)
{
	size_t length = strcspn(rest, "/"), skipped = length + strspn(rest + length, "/");
	memcpy(ret_name, rest, length);
	ret_name[length] = '\0';
	memmove(rest, rest + skipped, strlen(rest + skipped) + 1);
}

/* Puts the target of the link in front of `rest`.  *at: where the target begins.  0 or -errno. */
static int follow(int link, int *at, char *rest)
{
	char text[PATH_MAX];
	size_t left = strlen(rest);
	ssize_t length = readlinkat(link, "", text, sizeof(text));
	if (length < 0)
		return -errno;
	if ((size_t)length + 1 + left + 1 > PATH_MAX)
		return -ENAMETOOLONG;
	text[length] = '\0';
	if (*text == '/') {
		fd_close(at);
		*at = open_start(text);
		if (*at < 0)
			return *at;
	}
	size_t skipped = strspn(text, "/");
	memmove(rest + (size_t)length - skipped + 1, rest, left + 1);
	memcpy(rest, text + skipped, (size_t)length - skipped);
	rest[(size_t)length - skipped] = '/';
	return 0;
}

/* Goes one component further.  0 or -errno. */
static int step(const char *name, int *at, char *rest, int *links)
{
	struct stat status;
	CLEANUP(fd_close) int next = openat(*at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (next < 0 || fstat(next, &status) < 0)
		return -errno;
	bool link = S_ISLNK(status.st_mode);
	if ((link || !strcmp(name, "..")) && !is_trusted(*at))
		return -EPERM;
	if (link)
		return ++*links > LINKS ? -ELOOP : follow(next, at, rest);
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	fd_close(at);
	*at = next;
	next = -1;
	return 0;
}

int walk_to_directory(const char *path, char ret_name[NAME_MAX + 1])
{
	char rest[PATH_MAX], name[PATH_MAX];
	const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;
	size_t length = (size_t)(last - path), begin = strspn(path, "/");
	int links = 0, result = 0;
	if (length >= sizeof(rest) || strlen(last) > NAME_MAX)
		return -ENAMETOOLONG;
	if (!*last || !strcmp(last, ".") || !strcmp(last, ".."))
		return -EISDIR;
	length -= begin;
	memcpy(rest, path + begin, length);
	rest[length] = '\0';
	CLEANUP(fd_close) int at = open_start(path);
	if (at < 0)
		return at;
	while (result == 0 && *rest) {
		take_component(rest, name);
		if (*name && strcmp(name, ".") != 0)
			result = step(name, &at, rest, &links);
	}
	if (result < 0)
		return result;
	strcpy(ret_name, last);
	int directory = at;
	at = -1;
	return directory;
}
