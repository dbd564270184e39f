/* SPDX-License-Identifier: MIT */
/*
 * The directory of a path that the operator has named, but that others may write to in part.
 *
 * A link that only root or the launcher's user can have made is the operator's own word and is
 * followed.  One in a directory that somebody else owns or may write to is not: it would make the
 * launcher act wherever that somebody likes.
 */
#pragma once

#include <limits.h>

/*
 * Pins the directory of `path` (O_PATH) and copies the last component, which is not looked at.  The
 * descriptor or -errno; -EPERM: such a link, or ".." behind such a directory, is on the way;
 * -EISDIR: the last component is none.
 */
int walk_to_directory(const char *path, char ret_name[NAME_MAX + 1]);
