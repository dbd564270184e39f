/* SPDX-License-Identifier: MIT */
/* The commands of moult: the same words on the command line and in the control protocol. */
#pragma once

#include <stdbool.h>

enum verb {
	VERB_RUN,
	VERB_UPGRADE,
	VERB_STATUS,
	VERB_LIST,
	VERB_STOP,
	VERB_CHECK,
	VERB_ENABLE,
	VERB_DISABLE,
};

/* Exit statuses, documented in the man page. 3 means "not running" in the LSB, too. */
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

/* False: `name` is not a command. */
bool verb_find(const char *name, enum verb *ret_verb);
