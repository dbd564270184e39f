/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.
 *
 * A target is one file, fuzz_NAME.c, or fuzz_shim_NAME.c for a part of the library.  If a target calls
 * a static function, the target includes the .c file of that function.  The rest comes from an archive
 * of all objects.  Copies are exactly as long as the input, so that the sanitiser sees a read of one
 * byte too many.
 */
#pragma once

#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "%s:%d: not: %s\n", __FILE__, __LINE__, #condition); \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A copy with a NUL at its end; the caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	FUZZ_CHECK(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/*
 * A copy, which the caller frees.  A part of the input is copied because the sanitiser does not see a
 * read behind the part while the rest of the input follows.
 */
static inline uint8_t *fuzz_bytes(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	FUZZ_CHECK(copy);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

/* A command line: each word ends in a NUL, as in /proc/PID/cmdline. */
struct fuzz_words {
	char **words; /* NULL at the end */
	int count;
};

static inline struct fuzz_words fuzz_words_new(const uint8_t *data, size_t size)
{
	struct fuzz_words line = {calloc(size + 2, sizeof(char *)), 0};

	FUZZ_CHECK(line.words);
	while (size > 0) {
		const uint8_t *end = memchr(data, 0, size);
		size_t length = end ? (size_t)(end - data) : size;

		line.words[line.count++] = fuzz_text(data, length);
		length += end != NULL;
		data += length;
		size -= length;
	}
	return line;
}

static inline void fuzz_words_free(struct fuzz_words *line)
{
	for (int i = 0; i < line->count; i++)
		free(line->words[i]);
	free(line->words);
}

/* One file in memory, for functions that read files; its path is FUZZ_FILE. */
enum { FUZZ_FD = 99 };
#define FUZZ_FILE "/proc/self/fd/99"

static inline void fuzz_file(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd < 0) {
		int made = memfd_create("fuzz", MFD_CLOEXEC);

		FUZZ_CHECK(made >= 0);
		fd = dup2(made, FUZZ_FD);
		(void)close(made);
	}
	FUZZ_CHECK(fd == FUZZ_FD && ftruncate(fd, 0) == 0);
	FUZZ_CHECK(pwrite(fd, data, size, 0) == (ssize_t)size && lseek(fd, 0, SEEK_SET) == 0);
}

/* Discards what the tested code prints. */
static inline void fuzz_silence(void)
{
	FUZZ_CHECK(freopen("/dev/null", "w", stdout));
}
