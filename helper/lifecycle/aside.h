/* SPDX-License-Identifier: MIT */
/*
 * Files that keep a daemon from starting beside itself (--aside): pid files and locks.
 *
 * Before the next generation starts, each file is renamed within its directory to
 * NAME.aside-INSTANCE.DIGITS.  The digits cannot be guessed.  A lock belongs to the inode, so the
 * current generation keeps its lock.  What the next one creates under the old name is another file.
 *
 * When the upgrade is complete, the file that was put aside is removed.  When the upgrade has
 * failed and no process of the failed generation is left, the file is renamed back.  The rename
 * replaces whatever the failed generation has written, so the name exists at every instant of the
 * put-back.
 *
 * The directory may belong to the daemon's user.  The path to the directory is walked without
 * following any symbolic link that another user can have made.  Afterwards only the file that was
 * put aside is touched.  If another user replaces or moves that file, the log says so, the other
 * file stays, and the upgrade goes on.
 *
 * Only one upgrade runs at a time, so there is only one set of files.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * Renames the files.  0 or -errno.  On failure every file has its old name again and `complaint`
 * has one line for the operator.  `paths` must stay valid until aside_keep() or aside_put_back().
 */
int aside_begin(struct instance *instance, char *const *paths, char *complaint, size_t size);

/* The upgrade is complete: removes the files.  No-op if nothing is aside. */
void aside_keep(void);

/* The upgrade has failed and its processes are gone: renames the files back.  No-op as above. */
void aside_put_back(void);

/*
 * Before the first start: looks for files that a launcher killed during an upgrade has left aside.
 * If the old name is free, the file is renamed back, and the daemon finds the file as it would
 * without us.  Otherwise the file stays aside and the log says so.
 */
void aside_recover(const char *instance, char *const *paths);
