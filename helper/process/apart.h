/* SPDX-License-Identifier: MIT */
/*
 * Work on what somebody else wrote, done in a process of its own: nothing that goes wrong there, a
 * crash, an endless loop or a file system that does not answer, reaches the launcher.
 */
#pragma once

#include <stddef.h>

#include "helper/base/util.h"

enum { APART_REPORT_MAX = 4096 };

struct apart {
	/*
	 * Runs in the child.  Fills in `report` (zeroes before) and may open a file by O_PATH, to
	 * be handed over.
	 */
	void (*work)(void *context, void *report, int *ret_pinned);
	void *context;
	size_t size; /* of the report, at most APART_REPORT_MAX */
	int keep;    /* the one descriptor that the work needs; -1: none */
};

/* What the work may take in all; a shim waits MOULT_REPLY_SECONDS for the launcher, which is longer. */
#define APART_PATIENCE (3 * SECOND)

/*
 * Returns when the work is done, or APART_PATIENCE later.  0, and the report is there: it is the
 * word of a process that may have been taken over by what it has read, so every field of it is to
 * be checked.  -ETIMEDOUT; -ECHILD: the process ended without a report; other -errno: it could not
 * be started.  *ret_pinned (may be NULL: none is wanted): the caller's to close, -1: none.
 *
 * The child cannot write files, start programs, signal or connect, as far as this kernel can forbid
 * it; of capabilities it has those with which root may read any file.  Whatever becomes of it, the
 * launcher reaps it as it does any unknown child, and never waits for its end.
 */
int apart_run(const struct apart *apart, void *report, int *ret_pinned);
