/* SPDX-License-Identifier: MIT */
/* moult check: can this command be upgraded? */
#pragma once

#include <stdbool.h>

#include "helper/check/findings.h"

/*
 * Prints all findings about the command to stdout.  Starts nothing, and needs no running instance.
 * Returns the exit status: 0, as far as known the command can be upgraded; 1, it cannot, or the
 * findings could not be printed.
 */
int check_run(char *const command[], bool json);

/*
 * The same findings, without printing them.  Returns the first that says that the command cannot be
 * upgraded, a pointer into `findings`; NULL: there is none.
 */
const struct finding *check_find(char *const command[], struct findings *findings);
