/* SPDX-License-Identifier: MIT */
/*
 * `moult check` of a command line: wrappers, their options, "sh -c" and "env -S".  One directory has a
 * file with the name of every wrapper.  This directory is all of PATH, and also the root for chroot.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/stat.h>

#include "helper/check/inspect.h"
#include "helper/check/wrapper.c"

static char directory[] = "/tmp/moult-fuzz-XXXXXX";

static void remove_directory(void)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < COUNT(wrappers); i++) {
		(void)snprintf(path, sizeof path, "%s/%s", directory, wrappers[i].name);
		(void)unlink(path);
	}
	(void)rmdir(directory);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_silence();
	FUZZ_CHECK(mkdtemp(directory) && atexit(remove_directory) == 0);
	for (size_t i = 0; i < COUNT(wrappers); i++) {
		char path[PATH_MAX];

		(void)snprintf(path, sizeof path, "%s/%s", directory, wrappers[i].name);
		FUZZ_CHECK(symlink("/bin/true", path) == 0);
	}
	FUZZ_CHECK(setenv("PATH", directory, 1) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_words line = fuzz_words_new(data, size);
	enum inspect_verdict verdict = INSPECT_UNKNOWN;
	char reason[400];

	if (line.count > 0) {
		int error = 0;
		struct chain *chain = chain_new(line.words, &error);

		FUZZ_CHECK(chain && chain->words.count > 0 && chain->words.word[0]);
		FUZZ_CHECK(!chain->words.word[chain->words.count]);
		free(chain);
		FUZZ_CHECK(inspect_command(line.words, &verdict, reason, sizeof reason) <= 0);
		FUZZ_CHECK(verdict < INSPECT_UNKNOWN);
	}
	fuzz_words_free(&line);
	return 0;
}
