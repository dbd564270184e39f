/* SPDX-License-Identifier: MIT */
/*
 * The drop-in that puts a unit under moult: /etc/systemd/system/UNIT.d/zz-moult.conf.
 *
 * systemd reads drop-ins in the order of their names, and the last one that sets ExecStart= wins.
 * The name sorts behind "override.conf", the file of `systemctl edit`.
 *
 * The file is written or removed only if no directory on the way is a symbolic link, and only root
 * can write to all of them.  A file of that name that moult has not written is left alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* The first line of the file begins so. */
#define DROPIN_MARK "# Written by `moult enable"

/* PATH_MAX bytes for the path of a unit's file. */
void dropin_path(const char *unit, char *path, size_t size);

/*
 * The unit's file as it is, allocated; NULL: there is none.  0; -EEXIST: somebody else has written
 * it; -EPERM: a directory, link or file on the way is not root's alone; other -errno.
 */
int dropin_read(const char *unit, char **ret_text);

/* Writes the file in one step; a reader finds all of it or none.  As dropin_read(). */
int dropin_write(const char *unit, const char *text);

/* Removes the file, and its directory if nothing else is in there.  As dropin_read(). */
int dropin_remove(const char *unit);

/* One clause for an error of these functions. */
const char *dropin_explain(int error);
