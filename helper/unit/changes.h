/* SPDX-License-Identifier: MIT */
/* The changes to a unit: the lines of the drop-in, each with its reason. */
#pragma once

#include <stdbool.h>
#include <stdio.h>

#include "helper/base/util.h"

enum { CHANGES_MAX = 64 };

struct change {
	char *line; /* "Type=notify"; NULL: a note about what stays as it is */
	char *why;  /* a clause; NULL: that of the change before */
};

/* All zero: none. */
struct changes {
	struct change list[CHANGES_MAX];
	size_t count;
	bool failed; /* there was no memory, or no room */
};

void changes_deinit(struct changes *changes);

/* Adds a line; `why` is copied. */
void changes_add(struct changes *changes, const char *why, const char *format, ...) PRINTF(3, 4);

/* Adds a note, which is printed, and is no part of the drop-in. */
void changes_note(struct changes *changes, const char *format, ...) PRINTF(2, 3);

/* The drop-in for `unit`, allocated; NULL: no memory. */
char *changes_text(const struct changes *changes, const char *unit);

/* For the operator. */
void changes_print(const struct changes *changes, FILE *out);
