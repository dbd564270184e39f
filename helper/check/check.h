/* SPDX-License-Identifier: MIT */
/* moult check: can this command be upgraded? */
#pragma once

#include <stdbool.h>

/*
 * Prints what is found about the command to stdout.  Returns the exit status: 0, it can be upgraded
 * as far as can be told; 1, it cannot.  Needs no instance and starts nothing.
 */
int check_run(char *const command[], bool json);
