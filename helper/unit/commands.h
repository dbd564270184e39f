/* SPDX-License-Identifier: MIT */
/* The command lines of a unit under moult: ExecStart=, ExecReload= and ExecStop=. */
#pragma once

#include <stdbool.h>

#include "helper/unit/changes.h"
#include "helper/unit/execline.h"
#include "helper/unit/obstacle.h"
#include "helper/unit/unit.h"

/* The unit's only ExecStart=.  0, or -1 with one line in `reason`. */
int commands_read_start(
        struct execline *start, const struct unit *unit, const struct reason *reason);

/*
 * ExecStart= by moult.  `options`: words for `moult run`, or NULL.  Returns whether the daemon may
 * start beside itself as far as its pid file goes.
 */
bool commands_plan_start(struct changes *changes, const struct unit *unit,
        const struct execline *start, const struct place *place, char *const *options);

/* ExecReload= by moult, after the commands that only prepare a reload, as a check does. */
void commands_plan_reload(struct changes *changes, const struct unit *unit,
        const struct execline *start, const struct place *place);

/* ExecStop= without the commands that stop the daemon. */
void commands_plan_stop(struct changes *changes, const struct unit *unit);
