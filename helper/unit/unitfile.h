/* SPDX-License-Identifier: MIT */
/*
 * The [Service] section of a unit, as systemd.syntax(7) describes it.
 *
 * `systemctl show` gives the values of a unit, but not the text of its command lines: the quotes,
 * specifiers and variables are gone.  So the files of the unit are read, in the order in which
 * systemd reads them: the unit, then its drop-ins.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct assignment {
	char *key;
	char *value; /* continued lines are joined; "" resets a list */
};

/* All zero: empty. */
struct unit_file {
	struct assignment *list;
	size_t count, allocated;
};

void unit_file_deinit(struct unit_file *file);

/* Adds the assignments of a file.  0 or -errno; -EFBIG: too long to be a unit. */
int unit_file_read(struct unit_file *file, const char *path);

/* The same for a text, which is changed. */
int unit_file_parse(struct unit_file *file, char *text);

/* The value of a setting that has one, "" after a reset, NULL if it is not set. */
const char *unit_file_value(const struct unit_file *file, const char *key);

/* Is the last value a "yes" of systemd? */
bool unit_file_is_true(const struct unit_file *file, const char *key);

/*
 * The values of a list since its last reset: at most `size` of them are copied to `values`, as
 * pointers.  Returns their number.
 */
size_t unit_file_list(
        const struct unit_file *file, const char *key, const char **values, size_t size);

/*
 * Does a set of names allow `name`?  The values are lists of names; one that begins with "~" takes
 * its names away.  `empty_denies`: an empty value denies all names, else it removes the restriction.
 * *ret_is_set: does anything restrict the names?
 */
bool unit_file_allows(const struct unit_file *file, const char *key, const char *name,
        bool empty_denies, bool *ret_is_set);
