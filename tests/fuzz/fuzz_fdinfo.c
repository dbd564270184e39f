/* SPDX-License-Identifier: MIT */
/* /proc/PID/fdinfo of sockets and of interest lists, as the launcher reads them. */
#include "tests/fuzz/fuzz.h"

static const uint8_t *input;
static size_t input_size;

/* Every file that the code below opens is the input. */
static FILE *open_input(void)
{
	return fmemopen((void *)(uintptr_t)input, input_size, "r");
}
#define fopen(...) open_input()
#include "helper/kernel/descriptors.c"
#undef fopen

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct audit_registration rows[] = {{.inode = 1}, {.inode = 0x22f}, {.inode = UINT64_MAX}};
	struct registrations registrations = {.rows = rows, .count = COUNT(rows), .device = 9};
	struct holder holder = {.inode = 12345, .pid = 1, .fd = 1};
	char number[] = "7";

	input = data;
	input_size = size;
	if (size == 0)
		return 0;
	FUZZ_CHECK(read_in_flight(&holder) >= -ENOENT);
	FUZZ_CHECK(count_registrations(&registrations, 1, number, "anon_inode:[eventpoll]") == 0);
	for (size_t i = 0; i < COUNT(rows); i++)
		FUZZ_CHECK(rows[i].exclusive <= rows[i].count);
	return 0;
}
