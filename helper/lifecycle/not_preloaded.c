/* SPDX-License-Identifier: MIT */
/*
 * Why our library is not loaded, or cannot reach us, in processes whose program could load it.
 *
 * A wrapper may have started the daemon in another root directory, where the library's file does
 * not exist; with a uid that may not read the file; or in another network namespace.  Abstract
 * socket names belong to a network namespace, so the daemon cannot reach the launcher's socket from
 * there.
 */
#include "helper/lifecycle/not_preloaded.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/base/printable.h"
#include "helper/base/util.h"
#include "helper/kernel/namespace.h"

/* Once loaded, the library removes its path from the process's environment (shim/environment.c). */
static bool was_not_loaded(pid_t pid, const char *library)
{
	char path[64], text[1 << 16];
	snprintf(path, sizeof(path), "/proc/%d/environ", pid);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text));
	return length > 0 && memmem(text, (size_t)length, library, strlen(library));
}

static bool is_there(pid_t pid, const char *library)
{
	char path[PATH_MAX + 64];
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, library);
	return access(path, F_OK) == 0;
}

static bool is_allowed(const struct stat *status, const struct stat *process, mode_t what)
{
	if (status->st_uid == process->st_uid)
		return status->st_mode & (what << 6);
	if (status->st_gid == process->st_gid)
		return status->st_mode & (what << 3);
	return status->st_mode & what;
}

/* A guess from file modes, effective uid and first group.  It only decides what the log says. */
static bool may_read(const struct stat *process, const char *library)
{
	char path[PATH_MAX];
	struct stat status;
	if (!process->st_uid)
		return true;
	for (const char *slash = library; (slash = strchr(slash + 1, '/'));) {
		snprintf(path, sizeof(path), "%.*s", (int)(slash - library), library);
		if (stat(path, &status) == 0 && !is_allowed(&status, process, S_IXOTH))
			return false;
	}
	return stat(library, &status) < 0 || is_allowed(&status, process, S_IROTH);
}

static void name_of(pid_t pid, char *name, size_t size)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, name, size - 1);
	name[length > 0 ? length : 0] = '\0';
	name[strcspn(name, "\n")] = '\0';
	printable_make(name); /* the process may have set any bytes */
}

static bool explain(pid_t pid, const char *library, char *text, size_t size)
{
	char path[64], name[32];
	struct stat process;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	if (stat(path, &process) < 0)
		return false;
	name_of(pid, name, sizeof(name));
	if (namespace_is_shared(pid, "ns/net") == 0) {
		snprintf(text, size,
		        "%s, pid %d, is in another network namespace than the launcher, and cannot "
		        "reach it; the program runs, but upgrades need moult to be started in that "
		        "namespace",
		        name, pid);
		return true;
	}
	if (!was_not_loaded(pid, library))
		return false;
	if (namespace_is_shared(pid, "root") == 0 && !is_there(pid, library)) {
		snprintf(text, size,
		        "%s, pid %d, has a root directory in which there is no %s; it runs, but "
		        "upgrades need a copy of it there, under that name",
		        name, pid, library);
		return true;
	}
	if (!may_read(&process, library)) {
		snprintf(text, size,
		        "%s, pid %d, may not read %s as uid %u; it runs, but upgrades need that "
		        "file to be readable",
		        name, pid, library, process.st_uid);
		return true;
	}
	return false;
}

bool not_preloaded_explain(
        const struct pid_set *processes, const char *library, char *text, size_t size)
{
	for (size_t i = 0; i < processes->count; i++)
		if (explain(processes->pids[i], library, text, size))
			return true;
	return false;
}
