/* SPDX-License-Identifier: MIT */
/* Why the library is not in the processes of a generation, though their program could have it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/kernel/tree.h"

/*
 * Looks for a process of them that could not load `library`, or from which we cannot be reached.
 * True: `text` says who, why, and what to do.
 */
bool unseen_explain(const struct pid_set *processes, const char *library, char *text, size_t size);
