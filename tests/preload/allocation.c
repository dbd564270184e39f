/* SPDX-License-Identifier: MIT */
/*
 * Lets one allocation of one process fail; for LD_PRELOAD.  Which one is said by the first 24 bytes of
 * the file that ALLOCATION_FAULT names: the process, how many allocations until then (0: none fails)
 * and how many there have been.  A child of the process, and what it executes, is another process.
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

/* The C library's own, by names that it exports for this. */
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
