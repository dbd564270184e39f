/* SPDX-License-Identifier: MIT */
/*
 * Runs work on files that another user wrote in a process of its own.  A crash, an endless loop or
 * a file system that does not answer then does the launcher no harm.
 */
#pragma once

#include <stddef.h>

#include "helper/base/util.h"

enum { APART_REPORT_MAX = 4096 };

struct apart {
	/*
	 * Runs in the child.  Fills in `report`, which is all zero before.  May open one file by
	 * O_PATH, which is handed over to the launcher.
	 */
	void (*work)(void *context, void *report, int *ret_pinned);
	void *context;
	size_t size; /* of the report, at most APART_REPORT_MAX */
	int keep;    /* the only descriptor that stays open for the work; -1: none */
};

/* The longest time for the work.  A shim waits longer for the launcher (MOULT_REPLY_SECONDS). */
#define APART_PATIENCE (3 * SECOND)

/*
 * Runs the work, and returns when it is done, or after APART_PATIENCE.  0: `report` has the
 * result.  The files may have taken control of the child, so the caller must check every field of
 * the report.  -ETIMEDOUT; -ECHILD: the child ended without a report; other -errno: it could not be
 * started.  *ret_pinned (may be NULL): the file that the work has opened, the caller's to close;
 * -1: none.
 *
 * The child cannot write files, start programs, send signals or connect, as far as this kernel can
 * forbid it.  It keeps the capabilities by which root may read any file.  If the child does not end
 * in time, the launcher goes on and reaps it later.
 */
int apart_run(const struct apart *apart, void *report, int *ret_pinned);
