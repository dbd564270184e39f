/* SPDX-License-Identifier: MIT */
/* A service unit as it is without moult's drop-in, and how it is now. */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "helper/unit/reason.h"
#include "helper/unit/unitfile.h"

enum { UNIT_NAME_MAX = 256, UNIT_SOCKETS_MAX = 16 };

struct unit {
	char id[UNIT_NAME_MAX];   /* "nginx.service", not an alias */
	char name[64 + 1];        /* of the instance */
	char user[64];            /* that the service runs as; "": root, or made by systemd */
	char fragment[PATH_MAX];  /* the unit's own file */
	char source[PATH_MAX];    /* what a generator has made it from; "": nothing */
	char triggered[PATH_MAX]; /* the units that start it, with blanks between them */
	bool is_active;
	bool is_enabled;       /* moult's drop-in is there */
	char *dropin;          /* its text, allocated; or NULL */
	struct unit_file file; /* without moult's drop-in */
};

/*
 * Reads the unit that an operator has named, with or without ".service".  0, or -1 with one line in
 * `reason`.  unit_deinit() is due in both cases.
 */
int unit_load(struct unit *unit, const char *asked, const struct reason *reason);
void unit_deinit(struct unit *unit);

/* Fills in only `id`, `is_active` and what belongs to the drop-in: for a unit that may be broken. */
int unit_load_state(struct unit *unit, const char *asked, const struct reason *reason);

/* The first property of `systemctl show` for a unit.  False: it cannot be had. */
bool unit_property(const char *id, const char *key, char *value, size_t size);
