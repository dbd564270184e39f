/* SPDX-License-Identifier: MIT */
/*
 * --no-overlap: what is to be started when nothing of the old generation is left, and what if that
 * fails: the program of the old one again.
 */
#pragma once

#include "helper/state/generation.h"

struct succession {
	bool yielded;             /* there was something that had to end */
	bool returns;             /* the next one has failed */
	struct settings wanted;   /* of the next one */
	struct settings former;   /* of the old one */
	uint32_t former_id;       /* 0: there is none to go back to */
	int former_program;       /* what it executed; -1: not known */
	nanoseconds vacant_since; /* nobody has accepted since then */
};

/* An upgrade that lets two live at one time; succession_deinit() leaves that too. */
#define SUCCESSION_NONE              \
	{                            \
		.former_program = -1 \
	}

/*
 * All that will be needed, before the old one is touched.  `former` gives its ->program away; NULL:
 * none.  0 or -errno; to be released in both cases.
 */
int succession_init(
        struct succession *succession, const struct settings *wanted, struct generation *former);
void succession_deinit(struct succession *succession);

static inline const struct settings *succession_settings(const struct succession *succession)
{
	return succession->returns ? &succession->former : &succession->wanted;
}

/*
 * The file that is to be executed now for the command `name`, or -1.  *ret_replaced: it is not the
 * one that the name means.
 */
int succession_program(const struct succession *succession, const char *name, bool *ret_replaced);
