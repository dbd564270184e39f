/* SPDX-License-Identifier: MIT */
/*
 * Processes of a daemon whose keeper has been killed.
 *
 * The launcher is a subreaper, so they become its children.  No keeper ends them any more, and none
 * counts them: they are killed, as by a crash of the whole generation.
 */
#pragma once

#include <sys/types.h>

#include "helper/base/util.h"

/*
 * Kills all orphans and their descendants, and waits at most `patience` until none is left.  An
 * orphan is a child of the launcher that executes another program than the launcher does; `except`
 * is no orphan (0: none).  Returns how many are left: processes that hang inside the kernel.
 */
size_t orphans_end(pid_t except, nanoseconds patience);
