/* SPDX-License-Identifier: MIT */
/* moult enable and moult disable: a unit of systemd is put under moult, and back. */
#pragma once

#include <stdbool.h>

/* What the operator has asked for. */
struct enable {
	char *const *units;   /* NULL at the end */
	char *const *options; /* words for `moult run`, NULL at the end; or NULL */
	bool dry_run;         /* print, change nothing */
	bool now;             /* restart the units that run */
};

/*
 * Writes a drop-in for each unit, and has systemd read them.  All units or none: if one cannot be
 * put under moult, nothing is changed.  Returns the exit status.
 */
int enable_run(const struct enable *enable);

/* Removes the drop-ins. */
int disable_run(const struct enable *enable);
