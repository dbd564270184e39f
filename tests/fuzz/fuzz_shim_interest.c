/* SPDX-License-Identifier: MIT */
/* /proc/self/fdinfo of an interest list, as the library reads it. */
#include "tests/fuzz/fuzz.h"

#include "shim/interest.h"
#include "shim/interest_discover.c"
#include "shim/member.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static struct moult_board board;
	static struct moult_tally tally;
	static struct member_own self;

	(void)argc;
	(void)argv;
	member_board = &board;
	member_tally = &tally;
	member_own = &self;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	const struct search search = {.fd = data[0], .fresh = data[0] & 1};
	fuzz_file(data + 1, size - 1);
	/* Neither number is a descriptor, so nothing is really registered */
	discover_epoll(AT_FDCWD, FUZZ_FILE, 1 << 20, &search);
	interest_drop_epoll(1 << 20);
	return 0;
}
