/* SPDX-License-Identifier: MIT */
/*
 * --no-overlap: the program of the old generation.  It is started again, once, if the next one
 * fails, because nothing of the old generation is left then.
 */
#pragma once

#include "helper/state/generation.h"

struct fallback {
	bool in_use;              /* the next one has failed, and this program is started */
	uint32_t id;              /* of the old generation; 0: there is none */
	struct settings settings; /* its settings */
	int program;              /* the file that it executed; -1: not known */
};

/* For an upgrade with overlap, and after fallback_deinit(). */
#define FALLBACK_NONE         \
	{                     \
		.program = -1 \
	}

/*
 * Makes all copies before any generation has to end, for a copy may fail.  Takes the descriptor
 * `old->program`.  0 or -errno; fallback_deinit() is due in both cases.
 */
int fallback_init(struct fallback *fallback, struct generation *old);
void fallback_deinit(struct fallback *fallback);

/* Is there an old program that has not been started again yet? */
static inline bool fallback_is_left(const struct fallback *fallback)
{
	return fallback->id && !fallback->in_use;
}

/*
 * A new O_PATH descriptor of the file to be executed for the command `name`, or -1.  *ret_replaced:
 * the name means another file by now, so the descriptor has to be executed, not the name.
 */
int fallback_program(const struct fallback *fallback, const char *name, bool *ret_replaced);
