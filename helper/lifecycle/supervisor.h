/* SPDX-License-Identifier: MIT */
/* The launcher of one instance: starts its generations and stays until it ends. */
#pragma once

#include "helper/cli/options.h"

/*
 * Runs until the instance ends and returns the exit status.  The log must be open.  `options` are
 * those of `moult run`, complete and checked; the caller frees them.
 */
int supervisor_run(const struct options *options);
