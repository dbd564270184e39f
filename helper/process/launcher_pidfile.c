/* SPDX-License-Identifier: MIT */
/* The launcher's own pid file. */
#include "helper/process/launcher_pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "helper/base/util.h"
#include "helper/process/walk.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

static int ours = -1; /* the file.  Closing it drops the lock */
static int directory = -1;
static char name[NAME_MAX + 1];

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/*
 * The process that has a write lock on the file; 0: none; -1: one that the kernel does not tell.
 * Only write locks count, which launchers have: any user who may read the file can have a read
 * lock.
 */
static pid_t holder(void)
{
	char path[40];
	struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
	struct stat status;
	CLEANUP(fd_close) int at = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (at < 0 || fstat(at, &status) < 0 || !S_ISREG(status.st_mode) ||
	        !is_trusted(status.st_uid) || status.st_nlink != 1)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

/* Writes our pid.  fdatasync(): a crash of the machine leaves no empty file. */
static int fill(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fchmod(fd, 0644) < 0 || dprintf(fd, "%d\n", getpid()) < 0)
		return -errno;
	/* Failure is ignored: without these it is still a pid file. */
	(void)fdatasync(fd);
	(void)fcntl(fd, F_SETLK, &lock);
	return 0;
}

/* Another user's directory at the path is moved away, and removed if it is empty. */
static int rename_into_place(const char *beside)
{
	struct stat status;
	if (renameat(directory, beside, directory, name) == 0)
		return 0;
	int error = errno;
	if (error != EISDIR || fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
	        is_trusted(status.st_uid))
		return -error;
	if (syscall(SYS_renameat2, directory, beside, directory, name, RENAME_EXCHANGE) < 0)
		return -errno;
	(void)unlinkat(directory, beside, AT_REMOVEDIR);
	return 0;
}

static int write_file(int *ret_fd)
{
	char beside[NAME_MAX + 1];
	unsigned long long random;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -errno;
	if (snprintf(beside, sizeof(beside), "%s.%016llx", name, random) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	CLEANUP(fd_close)
	int fd =
	        openat(directory, beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	int result = fill(fd);
	if (result == 0)
		result = rename_into_place(beside);
	if (result < 0) {
		(void)unlinkat(directory, beside, 0);
		return result;
	}
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int launcher_pidfile_write(const char *path, pid_t *ret_owner)
{
	directory = walk_to_directory(path, name);
	if (directory < 0)
		return directory;
	pid_t other = holder();
	int result = other ? -EBUSY : write_file(&ours);
	if (other)
		*ret_owner = other > 0 ? other : 0;
	if (result < 0)
		fd_close(&directory);
	return result;
}

void launcher_pidfile_remove(void)
{
	struct stat own, there;
	char text[32] = "";
	if (ours >= 0 && pread(ours, text, sizeof(text) - 1, 0) > 0 && atoi(text) == getpid() &&
	        fstat(ours, &own) == 0 &&
	        fstatat(directory, name, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
	        own.st_dev == there.st_dev && own.st_ino == there.st_ino)
		(void)unlinkat(directory, name, 0); /* it may be gone already */
	fd_close(&ours);
	fd_close(&directory);
}
