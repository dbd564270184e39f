/* SPDX-License-Identifier: MIT */
/* Messages to NOTIFY_SOCKET, which any process of a daemon may send. */
#include "tests/fuzz/fuzz.h"

#include "helper/process/notifier.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	if (has_line(text, "READY=1"))
		FUZZ_CHECK(strstr(text, "READY=1"));
	free(text);
	return 0;
}
