/* SPDX-License-Identifier: MIT */
/*
 * How long the launcher's loop may stand still for each generation while it waits for operations on
 * paths.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "helper/base/util.h"

/* May the launcher wait for one more operation for this generation? */
bool path_budget_allows(uint32_t generation);

/* The launcher has waited `cost` for this generation.  `strike`: and got no answer. */
void path_budget_charge(uint32_t generation, nanoseconds cost, bool strike);
