/* SPDX-License-Identifier: MIT */
/* Requests on the control socket, down to the options of each verb. */
#include "tests/fuzz/fuzz.h"

#include "helper/cli/options.h"
#include "helper/control/server.c"

/* Decodes the words of a request as helper/lifecycle/operator.c does. */
static void dispatch(int count, char **words)
{
	static const struct {
		const char *name;
		enum verb verb;
	} verbs[] = {{"upgrade", VERB_UPGRADE}, {"status", VERB_STATUS}, {"stop", VERB_STOP}};
	struct options options;
	char text[700] = "";

	for (size_t i = 0; i < COUNT(verbs); i++) {
		if (count < 1 || strcmp(words[0], verbs[i].name) != 0)
			continue;
		options_default(&options);
		if (options_parse(
		            &options, verbs[i].verb, count - 1, words + 1, text, sizeof text) < 0)
			FUZZ_CHECK(*text);
		options_deinit(&options);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *words[WORDS];
	char *copy = (char *)fuzz_bytes(data, size);
	int count = split(copy, size, words);

	if (count > 0) {
		FUZZ_CHECK(count < WORDS && !words[count]);
		if (!strcmp(words[0], CONTROL_PROTOCOL))
			dispatch(count - 1, words + 1);
	}
	free(copy);
	return 0;
}
