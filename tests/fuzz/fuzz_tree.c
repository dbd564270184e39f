/* SPDX-License-Identifier: MIT */
/* /proc/PID/stat, which contains a name that the process chooses, and lists of children. */
#include "tests/fuzz/fuzz.h"

/* Every file that the code below opens is the input. */
static int open_input(void)
{
	FUZZ_CHECK(lseek(FUZZ_FD, 0, SEEK_SET) == 0);
	return dup(FUZZ_FD);
}
#define open(...) open_input()
#include "helper/kernel/tree.c"
#undef open

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk walk = {0};
	pid_t parent;
	char state;
	int fd, r;

	fuzz_file(data, size);
	r = tree_stat(1, &state, &parent);
	FUZZ_CHECK(r <= 0);
	fd = open_input();
	FUZZ_CHECK(read_children(fd, &walk) == 0);
	(void)close(fd);
	for (size_t i = 0; i < walk.seen.count; i++) {
		FUZZ_CHECK(walk.seen.pids[i] > 0);
		FUZZ_CHECK(i == 0 || walk.seen.pids[i] > walk.seen.pids[i - 1]);
	}
	FUZZ_CHECK(walk.seen.count == walk.queue.count);
	walk_deinit(&walk);
	return 0;
}
