/* SPDX-License-Identifier: MIT */
/*
 * System calls for which a sandbox may kill the process.
 *
 * SystemCallFilter=~@privileged @resources of systemd takes the calls away by which the launcher's
 * children give up privileges, and SIGSYS is the answer to such a call.  The launcher can do without
 * them: where they are forbidden, there is mostly nothing to give up.
 */
#pragma once

#include <stdbool.h>

enum permitted {
	PERMITTED_CAPSET,
	PERMITTED_SETPRIORITY,
	PERMITTED_IDENTITY, /* to change users and groups */
	PERMITTED_CHOWN,
	PERMITTED_LANDLOCK,
	PERMITTED_CALLS
};

/*
 * Finds out, by a child for each call if there is a filter at all.  To be called once, before the
 * other calls of this file; without it everything is permitted.
 */
void permitted_try(void);

bool permitted(enum permitted call);
