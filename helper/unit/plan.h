/* SPDX-License-Identifier: MIT */
/* Which lines put a unit under moult: as few as work. */
#pragma once

#include "helper/unit/changes.h"
#include "helper/unit/obstacle.h"
#include "helper/unit/unit.h"

/*
 * Fills in the changes.  `options`: words of the operator for `moult run`, NULL at the end; or NULL.
 * 0, or -1 with one line in `reason`: the unit cannot be put under moult.  changes_deinit() is due
 * in both cases.
 */
int plan_make(struct changes *changes, const struct unit *unit, const struct place *place,
        char *const *options, const struct reason *reason);
