/* SPDX-License-Identifier: MIT */
/*
 * Makes one allocation of one process fail; for LD_PRELOAD.  ALLOCATION_FAULT names a file.  The first
 * 24 bytes of the file are three numbers: the pid of the process, the number of allocations until the
 * one that fails (0: none fails), and how many allocations there have been.  A child of the process has
 * another pid, so its allocations do not fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

struct fault {
	int64_t process, until, count;
};

/* The allocation functions of the C library, under names that it exports for this purpose. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static struct fault *fault;

__attribute__((constructor)) static void look(void)
{
	const char *path = getenv("ALLOCATION_FAULT");
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory =
	        fd < 0 ? MAP_FAILED
	               : mmap(NULL, sizeof(*fault), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (memory != MAP_FAILED)
		fault = memory;
}

static bool fails(void)
{
	if (!fault || fault->process != getpid())
		return false;
	fault->count++;
	if (!fault->until || --fault->until)
		return false;
	errno = ENOMEM;
	return true;
}

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
