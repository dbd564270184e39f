/* SPDX-License-Identifier: MIT */
/*
 * Walks to the directory of a path that the operator has named, but parts of which others may write
 * to.
 *
 * A symbolic link that only root or the launcher's user can have made is followed: the operator has
 * put it there.  A link in a directory that another user owns or may write to is not followed: it
 * would make the launcher act wherever that user likes.
 */
#pragma once

#include <limits.h>

/*
 * Opens the directory of `path` (O_PATH, the caller's to close) and copies the last component,
 * which is not looked at.  The descriptor or -errno; -EPERM: another user's link, or ".." in a
 * directory that another user owns or may write to, is on the way; -EISDIR: the last component is
 * empty, "." or "..".
 */
int walk_to_directory(const char *path, char ret_name[NAME_MAX + 1]);
