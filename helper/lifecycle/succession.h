/* SPDX-License-Identifier: MIT */
/*
 * --no-overlap: which program is started when nothing of the old generation is left.  First the
 * program of the upgrade; if that fails, once, the program of the old generation.
 */
#pragma once

#include "helper/state/generation.h"

struct succession {
	bool yielded;             /* older generations had to end before this start */
	bool returns;             /* the upgrade has failed: `former` is started again */
	struct settings wanted;   /* of the upgrade */
	struct settings former;   /* of the old generation */
	uint32_t former_id;       /* 0: there is no old generation to start again */
	int former_program;       /* the file that the old generation executed; -1: not known */
	nanoseconds vacant_since; /* nobody has accepted at least since then */
};

/* For an upgrade with overlap, and after succession_deinit(). */
#define SUCCESSION_NONE              \
	{                            \
		.former_program = -1 \
	}

/*
 * Makes all copies before any generation has to end, for a copy may fail.  Takes the descriptor
 * `former->program`; NULL: there is no old generation to start again.  0 or -errno;
 * succession_deinit() is due in both cases.
 */
int succession_init(
        struct succession *succession, const struct settings *wanted, struct generation *former);
void succession_deinit(struct succession *succession);

static inline const struct settings *succession_settings(const struct succession *succession)
{
	return succession->returns ? &succession->former : &succession->wanted;
}

/*
 * A new O_PATH descriptor of the file to be executed for the command `name`, or -1.  *ret_replaced:
 * the name means another file by now, so the descriptor has to be executed, not the name.
 */
int succession_program(const struct succession *succession, const char *name, bool *ret_replaced);
