/* SPDX-License-Identifier: MIT */
/* Closes many descriptors at once. */
#include "helper/base/close.h"

#include <dirent.h>
#include <limits.h>
#include <sys/syscall.h>

#include "helper/base/util.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Without /proc: tries every number that a descriptor may have, and 2^20 at most. */
static void close_every_number(int first, int last)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > 1 << 20)
		limit.rlim_cur = 1 << 20;
	for (int fd = first; fd <= last && fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

static void close_listed(int first, int last)
{
	DIR *list = opendir("/proc/self/fd");
	if (!list) {
		close_every_number(first, last);
		return;
	}
	for (struct dirent *entry = readdir(list); entry; entry = readdir(list)) {
		int fd = atoi(entry->d_name);
		if (fd >= first && fd <= last && fd != dirfd(list) && entry->d_name[0] != '.')
			close(fd);
	}
	closedir(list);
}

static void close_between(int first, int last)
{
	if (first <= last && syscall(SYS_close_range, first, last, 0) < 0)
		close_listed(first, last);
}

void close_from(int first)
{
	close_between(first, INT_MAX);
}

void close_all_but(int first, int one, int other)
{
	int low = one < other ? one : other, high = one < other ? other : one;
	close_between(first, low - 1);
	close_between(low < first ? first : low + 1, high - 1);
	close_between(high < first ? first : high + 1, INT_MAX);
}
