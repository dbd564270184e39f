/* SPDX-License-Identifier: MIT */
/* The kernel's answers to a dump of sockets.  The first byte says where the first datagram ends. */
#include "tests/fuzz/fuzz.h"

#include "helper/kernel/diag.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct diag_rows rows = {0};
	size_t first;
	uint8_t *copy;

	if (size < 1)
		return 0;
	first = (size_t)*data++ * 4;
	if (first > --size)
		first = size;
	copy = fuzz_bytes(data, first);
	if (parse_datagram(copy, first, &rows) > 0) {
		free(copy);
		copy = fuzz_bytes(data + first, size - first);
		(void)parse_datagram(copy, size - first, &rows);
	}
	free(copy);
	FUZZ_CHECK(rows.count <= rows.allocated);
	diag_rows_deinit(&rows);
	return 0;
}
