/* SPDX-License-Identifier: MIT */
/*
 * What the launcher may do here, found out by trying it.
 *
 * A service manager or a container may take away what the launcher of root usually has.  Each such
 * thing has another, slower or less exact way (named in the messages), so nothing is refused; but it
 * is said once, with what to add.
 */
#pragma once

#include <stdbool.h>

/* Tries all, and logs what is missing.  To be called once, before anything is started. */
void abilities_try(void);

/* May the launcher look at the descriptors of processes of all users?  True before the trial. */
bool abilities_see_all(void);
