/* SPDX-License-Identifier: MIT */
/* Reads of an untrusted file. */
#include "helper/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "helper/base/util.h"

/* For one file. A file that answers slowly costs at most this many reads. */
enum { READS_MAX = 32 * 1024 };

/* /proc/self/fd opens the very file that was checked, even if its path now names another one. */
int file_open_pinned(struct file *file, int pinned)
{
	char link[32];

	*file = (struct file){.fd = -1};
	if (fstat(pinned, &file->status) < 0)
		return -errno;
	if (!S_ISREG(file->status.st_mode))
		return -EACCES;
	file->size = (uint64_t)file->status.st_size;
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", pinned);
	file->fd = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	return file->fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM) ? -errno : 0;
}

int file_open(struct file *file, const char *path)
{
	CLEANUP(fd_close) int pinned = open(path, O_PATH | O_CLOEXEC);

	*file = (struct file){.fd = -1};
	return pinned < 0 ? -errno : file_open_pinned(file, pinned);
}

void file_close(struct file *file)
{
	fd_close(&file->fd);
}

bool file_read(struct file *file, uint64_t offset, void *data, size_t size)
{
	size_t done = 0;

	if (file->fd < 0 || offset > file->size || size > file->size - offset ||
	        file->reads++ >= READS_MAX)
		return false;
	file->bytes += size;
	while (done < size) {
		ssize_t n =
		        pread(file->fd, (char *)data + done, size - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}
