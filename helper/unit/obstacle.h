/* SPDX-License-Identifier: MIT */
/* Why a unit cannot be put under moult. */
#pragma once

#include <limits.h>
#include <stddef.h>

#include "helper/unit/changes.h"
#include "helper/unit/execline.h"
#include "helper/unit/unit.h"

/* The files of the moult that runs. */
struct place {
	char moult[PATH_MAX];
	char library[PATH_MAX];
};

/* 0, or -1 with one line in `reason`: a command line cannot name these files. */
int place_find(struct place *place, const struct reason *reason);

/* Does the launcher run as root there? */
bool unit_is_of_root(const struct unit *unit, const struct execline *start);

/*
 * Looks for what makes moult impossible for the unit.  0, or -1 with one line in `reason`: what it
 * is, and what helps.
 */
int obstacle_find(const struct unit *unit, const struct execline *start, const struct place *place,
        const struct reason *reason);

/*
 * The same for the command: `moult check` judges it.  Adds the hints of the check as notes;
 * `has_aside`: those about pid files are known.
 */
int obstacle_check(const struct execline *start, bool has_aside, struct changes *changes,
        const struct reason *reason);
