/* SPDX-License-Identifier: MIT */
/*
 * How long the launcher's loop may stand still for each generation, while it waits for operations
 * on paths (helper/process/paths.h).
 *
 * A generation that has let two operations time out gets no further one.  A generation owes the
 * time that slow answers have cost.  It gets no operation while it owes 450 ms or more, and pays
 * back 5 % of each second.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "helper/base/util.h"

/* May the launcher wait for one more operation for this generation? */
bool path_budget_allows(uint32_t generation);

/* The generation owes `cost` more.  `strike`: its operation has timed out. */
void path_budget_charge(uint32_t generation, nanoseconds cost, bool strike);
