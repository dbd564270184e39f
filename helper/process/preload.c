/* SPDX-License-Identifier: MIT */
/* How libmoult.so gets into the daemon: where the library is, and the environment that loads it. */
#include "helper/process/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "shim/contract.h"

static bool is_named(const char *entry, const char *name)
{
	size_t length = strlen(name);
	return !strncmp(entry, name, length) && entry[length] == '=';
}

/*
 * Our variables come last.  A library that the user preloads stays in front of ours, since
 * sanitizer runtimes must be first.  One allocation: the pointers, then the strings.
 */
char **preload_environment_new(const char *variable, const char *notify, const char *library)
{
	size_t count = 0;
	const char *preload = "";
	for (char **entry = environ; *entry; entry++, count++)
		if (is_named(*entry, "LD_PRELOAD"))
			preload = *entry + strlen("LD_PRELOAD=");
	size_t room = strlen(variable) + strlen(notify) + strlen(library) + strlen(preload) + 64;
	char **list = malloc((count + 4) * sizeof(char *) + room);
	if (!list)
		return NULL;
	char *text = (char *)(list + count + 4);
	size_t out = 0;
	for (char **entry = environ; *entry; entry++)
		if (!is_named(*entry, "LD_PRELOAD") && !is_named(*entry, MOULT_VARIABLE) &&
		        !(notify[0] && is_named(*entry, "NOTIFY_SOCKET")))
			list[out++] = *entry;
	if (notify[0]) {
		list[out++] = strcpy(text, notify);
		text += strlen(text) + 1;
	}
	list[out++] = text;
	text += sprintf(text, "LD_PRELOAD=%s%s%s", preload, preload[0] ? ":" : "", library) + 1;
	list[out++] = strcpy(text, variable);
	list[out] = NULL;
	return list;
}

/* Looks beside our own program (a build), then where `make install` puts the library. */
int preload_library(char *path, size_t size)
{
	static const char *const places[] = {"libmoult.so", "../lib/moult/libmoult.so"};
	char self[PATH_MAX], candidate[PATH_MAX + 32];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length <= 0)
		return -errno;
	self[length] = '\0';
	char *slash = strrchr(self, '/');
	for (size_t i = 0; i < COUNT(places); i++) {
		snprintf(candidate, sizeof(candidate), "%.*s/%s", (int)(slash - self), self,
		        places[i]);
		if (access(candidate, R_OK) < 0)
			continue;
		/* ld.so splits LD_PRELOAD at spaces and colons. */
		if (strpbrk(candidate, " :") || strlen(candidate) >= size)
			return -EINVAL;
		strcpy(path, candidate);
		return 0;
	}
	return -ENOENT;
}

/*
 * read() and not mmap(): a file that becomes shorter would end the launcher with SIGBUS.  The end of
 * each block is looked at again with the next one, since the text may lie across both.
 */
bool preload_is_of_other_contract(const char *library, uint32_t *ret_contract)
{
	enum { ROOM = sizeof(MOULT_CONTRACT_PREFIX) + 16 };
	char block[16384];
	CLEANUP(fd_close) int fd = open(library, O_RDONLY | O_CLOEXEC);
	size_t kept = 0;
	ssize_t length;
	while ((length = fd < 0 ? -1 : read(fd, block + kept, sizeof(block) - 1 - kept)) > 0) {
		size_t end = kept + (size_t)length;
		block[end] = '\0';
		const char *text = memmem(
		        block, end, MOULT_CONTRACT_PREFIX, sizeof(MOULT_CONTRACT_PREFIX) - 1);
		if (text && text + ROOM <= block + end) {
			*ret_contract = (uint32_t)strtoul(
			        text + sizeof(MOULT_CONTRACT_PREFIX) - 1, NULL, 10);
			return *ret_contract != MOULT_CONTRACT;
		}
		kept = end < ROOM ? end : ROOM;
		memmove(block, block + end - kept, kept);
	}
	*ret_contract = 0;
	return length == 0;
}
