/* SPDX-License-Identifier: MIT */
/* Why our library is not loaded, or cannot reach us, in processes whose program could load it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/kernel/tree.h"

/*
 * Looks for a process that could not load `library`, or that cannot connect to the launcher.  True:
 * `text` names the process, the reason, and what the operator can do.
 */
bool not_preloaded_explain(
        const struct pid_set *processes, const char *library, char *text, size_t size);
