/* SPDX-License-Identifier: MIT */
/* The launcher of one instance: starts its generations and stays until it ends. */
#pragma once

#include "helper/cli/options.h"

/*
 * Runs until the instance ends and returns the exit status.  The log is open; `options` is what
 * `run` was given, complete and valid, and stays the caller's.
 */
int supervisor_run(const struct options *options);
