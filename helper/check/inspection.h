/* SPDX-License-Identifier: MIT */
/* The launcher's inspection of a command: inspect_command() in a process of its own. */
#pragma once

#include "helper/check/inspect.h"

/*
 * As inspect_command(), but takes APART_PATIENCE at most.  Without a judgement it returns 0, the
 * verdict is INSPECT_UNKNOWN, and the command may be tried.
 */
int inspection_run(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size);
