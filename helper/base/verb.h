/* SPDX-License-Identifier: MIT */
/* The commands of moult, as the operator types them and as the control socket carries them. */
#pragma once

#include <stdbool.h>

enum verb { VERB_RUN, VERB_UPGRADE, VERB_STATUS, VERB_LIST, VERB_STOP, VERB_CHECK };

/* Exit statuses, as in the man page. 3 is LSB's "not running". */
enum exit_status {
	EXIT_DONE = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_NO_INSTANCE = 3,
	EXIT_BUSY = 75,            /* EX_TEMPFAIL of sysexits.h */
	EXIT_CANNOT_EXECUTE = 126, /* as the shell */
	EXIT_NOT_FOUND = 127,
};

const char *verb_name(enum verb verb);

/* False: no command is called `name`. */
bool verb_find(const char *name, enum verb *ret_verb);
