/* SPDX-License-Identifier: MIT */
/* One operation on a path, in a child of the launcher. */
#include "helper/process/path_child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "helper/base/close.h"
#include "helper/base/message.h"
#include "helper/kernel/permitted.h"
#include "helper/process/confine.h"

#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif

enum { CHANNEL = 0, DIRECTORY = 1 }; /* the descriptors of the child */

/*
 * Closes all other descriptors.  No close waits, because none is the last one: the launcher waits
 * for the child and has everything open, too.
 */
static void keep_only(int channel, int directory)
{
	int high = fcntl(channel, F_DUPFD, 3), other = fcntl(directory, F_DUPFD, 3);
	if (high < 0 || other < 0 || dup2(high, CHANNEL) < 0 || dup2(other, DIRECTORY) < 0)
		_exit(1);
	close_from(2);
}

static int pin(const char *name)
{
	struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
	        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	if (!name)
		return DIRECTORY;
	if (!*name || strlen(name) > NAME_MAX || strchr(name, '/') || !strcmp(name, ".") ||
	        !strcmp(name, ".."))
		return -EINVAL;
	int fd = (int)syscall(SYS_openat2, DIRECTORY, name, &how, sizeof(how));
	if (fd < 0 && (errno == ENOSYS || errno == EPERM)) /* before Linux 5.6, or filtered */
		fd = openat(DIRECTORY, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static struct file_id id_of(const struct stat *status)
{
	return (struct file_id){status->st_dev, status->st_ino};
}

/* The number after "NAME:" in /proc/self/fdinfo; 0: it is not there. */
static unsigned long long fdinfo(int fd, const char *name)
{
	char path[64], line[128];
	unsigned long long value = 0;
	size_t length = strlen(name);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, length) && line[length] == ':')
			value = strtoull(line + length + 1, NULL, 10);
	if (file)
		(void)fclose(file);
	return value;
}

/* The device of a mount in a mountinfo file, as the kernel numbers devices; 0: not in that file. */
static uint32_t device_in(const char *list, unsigned long long mount)
{
	char *line = NULL;
	size_t room = 0;
	unsigned long long id;
	unsigned device = 0, parent, major, minor;
	FILE *file = fopen(list, "re");
	while (file && !device && getline(&line, &room, file) > 0)
		if (sscanf(line, "%llu %u %u:%u", &id, &parent, &major, &minor) == 4 && id == mount)
			device = major << 20 | minor; /* MKDEV() */
	if (file)
		(void)fclose(file);
	free(line);
	return device;
}

/*
 * The device of the file system.  The asker may be in a mount namespace of its own, so its list of
 * mounts is read too.  A mount's number is unique as long as a descriptor keeps the mount: it does
 * not matter in which list it is found.
 */
static uint32_t device_of(int fd, pid_t asker)
{
	char path[64];
	unsigned long long mount = fdinfo(fd, "mnt_id");
	uint32_t device = device_in("/proc/self/mountinfo", mount);
	if (device || asker <= 0)
		return device;
	snprintf(path, sizeof(path), "/proc/%d/mountinfo", asker);
	return device_in(path, mount);
}

static bool is_replaceable(
        const struct stat *directory, const struct look *look, const struct asker *asker)
{
	return faccessat(DIRECTORY, ".", W_OK | X_OK, 0) == 0 &&
	       (!(directory->st_mode & S_ISVTX) || !look->mode || asker->uid == 0 ||
	               asker->uid == directory->st_uid || asker->uid == look->uid);
}

/* `fd`: the pinned file, or the -errno of pin(). */
static int look(int fd, const struct asker *asker, struct look *ret_look)
{
	struct stat directory, status;
	struct look it = {0};
	if (fstat(DIRECTORY, &directory) < 0)
		return -errno;
	if (!S_ISDIR(directory.st_mode))
		return -ENOTDIR;
	if (fd < 0 && fd != -ENOENT)
		return fd;
	it.directory = id_of(&directory);
	if (fd >= 0) {
		if (fstat(fd, &status) < 0)
			return -errno;
		unsigned long long inode = fdinfo(fd, "ino"); /* since Linux 5.14 */
		it.file = id_of(&status);
		it.listed_device = device_of(fd, asker->pid);
		it.listed_inode = (uint32_t)(inode ? inode : status.st_ino);
		it.mode = status.st_mode;
		it.uid = status.st_uid;
		it.gid = status.st_gid;
		it.links = status.st_nlink;
	}
	it.replaceable = is_replaceable(&directory, &it, asker);
	*ret_look = it;
	return 0;
}

/* 0: the pinned file is the socket file `file`. */
static int check(int fd, struct file_id file, struct stat *ret_status)
{
	if (fstat(fd, ret_status) < 0)
		return -errno;
	return S_ISSOCK(ret_status->st_mode) && file_id_equal(id_of(ret_status), file) ? 0
	                                                                               : -ESTALE;
}

/* A path to the pinned file itself, whatever its name leads to by now. */
static const char *pinned_path(int fd, char *path, size_t size)
{
	snprintf(path, size, "/proc/self/fd/%d", fd);
	return path;
}

static int restore(int fd, const struct path_task *task)
{
	char path[32];
	struct stat status;
	int result = check(fd, task->file, &status);
	if (result < 0)
		return result;
	if ((status.st_uid != task->uid || status.st_gid != task->gid) &&
	        (!permitted(PERMITTED_CHOWN) ||
	                fchownat(fd, "", task->uid, task->gid, AT_EMPTY_PATH) < 0))
		result = permitted(PERMITTED_CHOWN) ? -errno : -EPERM;
	if ((status.st_mode & 07777) != (task->mode & 0777) &&
	        chmod(pinned_path(fd, path, sizeof(path)), task->mode & 0777) < 0)
		result = -errno;
	return result;
}

static int read_some(int fd, const struct path_task *task, struct path_result *result)
{
	char path[32];
	struct stat status;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode) || status.st_size < 1 || status.st_size > task->most)
		return -EINVAL;
	int file = open(
	        pinned_path(fd, path, sizeof(path)), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, result->text, sizeof(result->text));
	if (length < 0)
		return -errno;
	result->length = (size_t)length;
	return 0;
}

/*
 * Is the file system FUSE?  connect() to a socket file asks the file system for permission, and a
 * FUSE server may never answer.
 */
static bool is_answered_by_a_process(int fd)
{
	struct statfs status;
	return fstatfs(fd, &status) < 0 || status.f_type == FUSE_SUPER_MAGIC;
}

static int operate(const struct path_task *task, struct path_result *result, int *ret_pinned)
{
	struct stat status;
	if (task->operation == PATH_LEADS_TO)
		return lstat(task->name, &status) < 0              ? -errno
		       : file_id_equal(id_of(&status), task->file) ? 0
		                                                   : -ESTALE;
	int fd = pin(task->name), error = fd;
	if (task->operation == PATH_LOOK) {
		error = look(fd, task->asker, &result->look);
		if (error == 0 && S_ISSOCK(result->look.mode) && !is_answered_by_a_process(fd))
			*ret_pinned = fd;
		return error;
	}
	if (fd < 0)
		return error;
	switch (task->operation) {
	case PATH_RESTORE: return restore(fd, task);
	case PATH_UNLINK:
		error = check(fd, task->file, &status);
		return error == 0 && unlinkat(DIRECTORY, task->name, 0) < 0 ? -errno : error;
	case PATH_READ: return read_some(fd, task, result);
	default: return -EINVAL;
	}
}

_Noreturn void path_child_run(const struct path_task *task, int channel)
{
	struct path_result result = {0};
	int fd = -1;
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	(void)prctl(PR_SET_NAME, "moult-path");
	keep_only(channel, task->directory);
	confine_leave_memory();
	result.error = asker_become(task->asker) ? operate(task, &result, &fd) : -EPERM;
	/* Failure is ignored: without a result the launcher returns -EIO. */
	(void)message_send(CHANNEL, &result, sizeof(result), &fd, fd >= 0, 0);
	_exit(0);
}
