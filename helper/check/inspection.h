/* SPDX-License-Identifier: MIT */
/* The launcher's inspection of a command: inspect_command() in a process of its own. */
#pragma once

#include "helper/check/inspect.h"

/*
 * As inspect_command(); never longer than APART_PATIENCE.  Where no judgement comes the verdict is
 * INSPECT_UNKNOWN, and the command may be tried.
 */
int inspection_run(
        char *const command[], enum inspect_verdict *ret_verdict, char *reason, size_t size);
