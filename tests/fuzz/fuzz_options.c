/* SPDX-License-Identifier: MIT */
/* The command line.  The first byte chooses the verb. */
#include "tests/fuzz/fuzz.h"

#include "helper/base/units.h"
#include "helper/cli/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct options options;
	struct settings copy;
	struct fuzz_words line;
	char text[64] = "";

	if (size < 1)
		return 0;
	line = fuzz_words_new(data + 1, size - 1);
	options_default(&options);
	if (options_parse(&options, data[0] % (VERB_CHECK + 1), line.count, line.words, text,
	            sizeof text) < 0) {
		FUZZ_CHECK(*text && strlen(text) < sizeof text);
	} else if (settings_copy(&copy, &options.settings) == 0) {
		FUZZ_CHECK(copy.max_draining >= 1 && copy.ready_timeout > 0);
		FUZZ_CHECK(copy.drain_timeout >= 0 && copy.kill_after >= 0);
		FUZZ_CHECK(!options.name || name_is_valid(options.name));
		settings_deinit(&copy);
	}
	options_deinit(&options);
	fuzz_words_free(&line);
	return 0;
}
