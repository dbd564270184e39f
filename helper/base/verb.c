/* SPDX-License-Identifier: MIT */
/* The commands of moult. */
#include "helper/base/verb.h"

#include <stddef.h>
#include <string.h>

#include "helper/base/util.h"

static const char *const names[] = {
        [VERB_RUN] = "run",
        [VERB_UPGRADE] = "upgrade",
        [VERB_STATUS] = "status",
        [VERB_LIST] = "list",
        [VERB_STOP] = "stop",
        [VERB_CHECK] = "check",
        [VERB_ENABLE] = "enable",
        [VERB_DISABLE] = "disable",
};

const char *verb_name(enum verb verb)
{
	return names[verb];
}

bool verb_find(const char *name, enum verb *ret_verb)
{
	for (size_t i = 0; i < COUNT(names); i++) {
		if (strcmp(names[i], name) != 0)
			continue;
		*ret_verb = (enum verb)i;
		return true;
	}
	return false;
}
