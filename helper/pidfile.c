/* SPDX-License-Identifier: MIT */
/* The launcher's own pid file. */
#include "helper/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include "helper/util.h"

static int ours = -1; /* the file, and with it the lock */

/* The process that has a lock on it: 0 nobody, -1 one that is not told. */
static pid_t holder(const char *path)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat status;
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
	        fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
		return 0;
	return lock.l_pid > 0 ? lock.l_pid : -1;
}

/* Our pid into the file; on a disk, too, so that a crash of the machine leaves no empty one. */
static int fill(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fchmod(fd, 0644) < 0 || dprintf(fd, "%d\n", getpid()) < 0)
		return -errno;
	/* Where these cannot be had it is a pid file all the same. */
	(void)fdatasync(fd);
	(void)fcntl(fd, F_SETLK, &lock);
	return 0;
}

int pidfile_write(const char *path, pid_t *ret_owner)
{
	char beside[PATH_MAX];
	if (snprintf(beside, sizeof(beside), "%s.%d", path, getpid()) >= (int)sizeof(beside))
		return -ENAMETOOLONG;
	pid_t other = holder(path);
	if (other) {
		*ret_owner = other > 0 ? other : 0;
		return -EBUSY;
	}
	(void)unlink(beside); /* of one with our pid that was killed just then */
	int fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	int result = fill(fd);
	if (result == 0 && rename(beside, path) < 0)
		result = -errno;
	if (result < 0) {
		(void)unlink(beside);
		close(fd);
		return result;
	}
	ours = fd;
	return 0;
}

void pidfile_remove(const char *path)
{
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char text[32] = "";
	if (ours >= 0 && fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && atoi(text) == getpid())
		(void)unlink(path); /* gone already is as good */
	fd_close(&ours);
}

bool pidfile_is(const struct stat *status)
{
	struct stat own;
	return ours >= 0 && fstat(ours, &own) == 0 && own.st_dev == status->st_dev &&
	       own.st_ino == status->st_ino;
}
