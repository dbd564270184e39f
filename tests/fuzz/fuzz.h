/* SPDX-License-Identifier: MIT */
/*
 * What the fuzz targets share.
 *
 * A target is one file, fuzz_NAME.c, or fuzz_shim_NAME.c for a part of the library.  It includes the
 * .c file of a static function that it wants to call; the rest comes from an archive of all
 * objects.  Copies are exactly as long as the input, so that one byte too many is seen.
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

/* With a NUL at its end; to be freed. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);

	FUZZ_CHECK(text);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	return text;
}

/* To be freed; the input itself is in one piece, which may hide a byte read behind it. */
static inline uint8_t *fuzz_bytes(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size > 0 ? size : 1);

	FUZZ_CHECK(copy);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

/* A command line: words that each end in a NUL, as the kernel shows them. */
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

/* One file in memory, for what reads files; its path is FUZZ_FILE. */
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

/* What the product prints is not looked at. */
static inline void fuzz_silence(void)
{
	FUZZ_CHECK(freopen("/dev/null", "w", stdout));
}
