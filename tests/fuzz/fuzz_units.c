/* SPDX-License-Identifier: MIT */
/* Times, signals, numbers and names. */
#include "tests/fuzz/fuzz.h"

#include <signal.h>

#include "helper/base/units.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), printed[32];
	nanoseconds duration;
	int number;

	if (duration_parse(text, &duration) == 0) {
		FUZZ_CHECK(duration >= 0);
		FUZZ_CHECK(duration != NEVER || !strcmp(text, "infinity"));
		duration_print(duration, printed, sizeof printed);
	}
	if (signal_parse(text, &number) == 0) {
		FUZZ_CHECK(number >= 1 && number <= SIGRTMAX);
		(void)signal_print(number, printed, sizeof printed);
	}
	if (number_parse(text, -5, 1023, &number))
		FUZZ_CHECK(number >= 0 && number <= 1023);
	if (name_is_valid(text))
		FUZZ_CHECK(strlen(text) <= 64 && !strchr(text, '/') && *text != '.');
	free(text);
	return 0;
}
