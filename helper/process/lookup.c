/* SPDX-License-Identifier: MIT */
/*
 * Finds a program's file as execvp() does.
 *
 * In another root absolute links lead elsewhere than they do here.  So the kernel itself is asked
 * to resolve them as it will after chroot().
 */
#include "helper/process/lookup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "helper/base/util.h"

#ifndef SYS_openat2
#define SYS_openat2 437
#endif

/* 0: the kernel would try to execute it; or -errno. */
static int check_executable(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Resolves `name` in that root, to a path in the launcher's root.  0 or -errno. */
static int resolve_in(const char *root, const char *name, char *path, size_t size)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
	CLEANUP(fd_close) int directory = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_close) int fd = -1;
	char link[64];
	ssize_t length;

	if (directory < 0)
		return -errno;
	fd = (int)syscall(SYS_openat2, directory, name, &how, sizeof(how));
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, path, size);
	if (length < 0)
		return -errno;
	if ((size_t)length >= size)
		return -ENAMETOOLONG;
	path[length] = '\0';
	return 0;
}

int lookup_file(const struct lookup *lookup, const char *name, char *path, size_t size)
{
	int result = 0;

	if (*lookup->root)
		result = resolve_in(lookup->root, name, path, size);
	else if (strlen(name) >= size)
		result = -ENAMETOOLONG;
	else
		snprintf(path, size, "%s", name);
	return result < 0 ? result : check_executable(path);
}

int lookup_program(const struct lookup *lookup, const char *name, char *path, size_t size)
{
	const char *directories = lookup->path ? lookup->path : "/bin:/usr/bin";
	int result = -ENOENT;

	if (!*name)
		return -ENOENT;
	if (strchr(name, '/'))
		return lookup_file(lookup, name, path, size);
	for (const char *start = directories;; start++) {
		char candidate[PATH_MAX];
		size_t length = strcspn(start, ":");
		int n, tried;

		/* An empty entry of PATH is the working directory. */
		n = snprintf(candidate, sizeof(candidate), "%.*s%s%s", (int)length, start,
		        length > 0 ? "/" : "", name);
		tried = n < 0 || (size_t)n >= sizeof(candidate)
		                ? -ENAMETOOLONG
		                : lookup_file(lookup, candidate, path, size);
		if (tried == 0 || tried == -ENOSYS)
			return tried;
		if (tried == -EACCES)
			result = -EACCES;
		start += length;
		if (!*start)
			return result;
	}
}
