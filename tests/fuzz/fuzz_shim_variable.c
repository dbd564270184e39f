/* SPDX-License-Identifier: MIT */
/* The variable MOULT, which tells the library its generation.  Anybody can set this variable. */
#include "tests/fuzz/fuzz.h"

#include "shim/member_ask.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);

	if (member_find_launcher(text)) {
		FUZZ_CHECK(launcher.sun_family == AF_UNIX);
		FUZZ_CHECK(launcher_length > offsetof(struct sockaddr_un, sun_path) + 1);
		FUZZ_CHECK(launcher_length <= sizeof launcher);
	}
	free(text);
	return 0;
}
