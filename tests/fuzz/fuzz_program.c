/* SPDX-License-Identifier: MIT */
/*
 * `moult check` of a file: ELF headers, code, imports and strings, and scripts with the programs that
 * they run.  The first byte chooses how the command line names the file.
 */
#include "tests/fuzz/fuzz.h"

#include "helper/check/check.h"

static char *lines[][5] = {
        {FUZZ_FILE},
        {"sh", FUZZ_FILE},
        {"env", "-S", FUZZ_FILE " x"},
        {"sh", "-c", "exec " FUZZ_FILE " --pid=/run/x.pid"},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_silence();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int status;

	if (size < 1)
		return 0;
	fuzz_file(data + 1, size - 1);
	status = check_run(lines[data[0] % (sizeof lines / sizeof *lines)], data[0] & 0x80);
	FUZZ_CHECK(status == 0 || status == 1);
	return 0;
}
