/* SPDX-License-Identifier: MIT */
/*
 * What has to be known about single daemons to write their units anew: a table, used by
 * `moult enable` alone.  The launcher and the library know no daemon.
 */
#pragma once

#include <stdbool.h>

#include "helper/unit/execline.h"

enum { QUIRK_EDITS_MAX = 2 };

struct quirk {
	const char *program; /* a pattern for the base name of a program in the command line */
	struct {
		const char *part, *by; /* whole words; NULL: none */
	} edits[QUIRK_EDITS_MAX];
	const char *append;  /* words for the end, if the unit's type is "forking"; or NULL */
	const char *unless;  /* none of `append` if these words are there */
	const char *options; /* of `moult run`, or NULL */
	const char *aside;   /* a pid file that the unit does not name, or NULL */
	const char *why;     /* a clause for each change of the command line or of the options */
};

/* The row for a command line; NULL: nothing special. */
const struct quirk *quirk_find(const struct execline *line);

/*
 * Makes the row's changes to the command's text, which is allocated.  Returns whether anything has
 * changed.
 */
bool quirk_edit(const struct quirk *quirk, bool forks, char **text);
