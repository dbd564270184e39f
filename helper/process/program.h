/* SPDX-License-Identifier: MIT */
/*
 * The file that a generation executes, kept: an operator may put the new version in its place, and
 * what is to be started again if that fails is the old one.
 */
#pragma once

#include <stdbool.h>

/* What `name` is now, as O_PATH; -1 where it cannot be found. */
int program_keep(const char *name);

/*
 * Has `name` come to mean another file than the kept one, and can that be executed still?  Not a
 * script: its interpreter would be given a path, which names the new one.
 */
bool program_is_replaced(int kept, const char *name);
