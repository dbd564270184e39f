/* SPDX-License-Identifier: MIT */
/*
 * Keeps the file that a generation executes.  An operator may put the new version in its place.  If
 * the new version fails, the old file must be started again.
 */
#pragma once

#include <stdbool.h>

/* Opens the file that `name` means now, with O_PATH; the caller's to close.  -1: not found. */
int program_keep(const char *name);

/*
 * Does `name` mean another file than the kept one by now, and can the kept one still be executed?
 * False for a script: its interpreter would get a path, which leads to the new file.
 */
bool program_is_replaced(int kept, const char *name);
