/* SPDX-License-Identifier: MIT */
/* Is a process in the same namespace, or the same root directory, as the launcher? */
#include "helper/kernel/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int namespace_is_shared(pid_t pid, const char *link)
{
	char path[64];
	struct stat theirs, ours;

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, link);
	if (stat(path, &theirs) < 0)
		return -errno;
	(void)snprintf(path, sizeof(path), "/proc/self/%s", link);
	if (stat(path, &ours) < 0)
		return -errno;
	return theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}
