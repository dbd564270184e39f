/* SPDX-License-Identifier: MIT */
/* Small things every file of the launcher uses. */
#pragma once

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array)        (sizeof(array) / sizeof((array)[0]))
#define CLEANUP(release)    __attribute__((cleanup(release)))
#define PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Durations and instants are nanoseconds of CLOCK_MONOTONIC; NEVER means "no deadline". */
typedef int64_t nanoseconds;
#define NEVER       INT64_MAX
#define MILLISECOND INT64_C(1000000)
#define SECOND      INT64_C(1000000000)

static inline nanoseconds now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* The instant `delay` from now; NEVER stays NEVER. */
static inline nanoseconds after(nanoseconds delay)
{
	nanoseconds t = now();
	return delay >= NEVER - t ? NEVER : t + delay;
}

/* Sleeps; a signal may end it early. */
static inline void nap(nanoseconds duration)
{
	struct timespec t = {duration / SECOND, duration % SECOND};
	(void)nanosleep(&t, NULL);
}

/* Closes, and sets *fd to -1, which means "no descriptor". For CLEANUP and for fields. */
static inline void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/*
 * Are enough descriptors left for the launcher itself?  A new descriptor gets the lowest free
 * number, so its distance from the limit tells how many are left.
 */
static inline int fd_is_plenty(void)
{
	struct rlimit limit;
	int fd = dup(STDERR_FILENO);
	if (fd < 0)
		return 0;
	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 1;
	rlim_t reserve = limit.rlim_cur / 4 < 128 ? limit.rlim_cur / 4 : 128;
	return (rlim_t)fd + reserve < limit.rlim_cur;
}

/* The part of a path behind its last slash; a pointer into `path`. */
static inline const char *path_base(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static inline void string_free(char **string)
{
	free(*string);
	*string = NULL;
}

/*
 * Returns the array with room for at least one element more; it doubles each time, and *allocated
 * follows.  NULL: no memory, and the old array is unchanged.
 */
static inline void *array_grow(void *elements, size_t count, size_t *allocated, size_t size)
{
	size_t wanted = *allocated ? 2 * *allocated : 256;
	void *larger;

	if (count < *allocated)
		return elements;
	larger = reallocarray(elements, wanted, size);
	if (larger)
		*allocated = wanted;
	return larger;
}
