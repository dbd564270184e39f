/* SPDX-License-Identifier: MIT */
/* Reading a file that nobody vouches for. */
#include "helper/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "helper/util.h"

/* In all: a file made to be slow ends here, and counts as what was seen of it. */
enum { READS_MAX = 32 * 1024 };

int file_open(struct file *file, const char *path)
{
	*file = (struct file){.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
	if (file->fd < 0 && errno != EACCES)
		return -errno;
	if ((file->fd >= 0 ? fstat(file->fd, &file->status) : stat(path, &file->status)) < 0) {
		int error = errno;

		file_close(file);
		return -error;
	}
	if (!S_ISREG(file->status.st_mode)) {
		file_close(file);
		return -EACCES;
	}
	file->size = (uint64_t)file->status.st_size;
	return 0;
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
