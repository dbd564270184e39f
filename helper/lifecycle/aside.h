/* SPDX-License-Identifier: MIT */
/*
 * Files that keep a daemon from starting beside itself (--aside): pid files and locks.
 *
 * Each is renamed before the next generation is started, to a name in the same directory:
 * NAME.aside-INSTANCE.DIGITS, which cannot be guessed.  A lock is the inode's, so the current generation has it as before, and what
 * the next one makes under the old name is another file.  When the upgrade is complete the old file
 * is removed; when it has failed and nothing of the failed one is left, it is renamed back over
 * whatever that has written: at no instant is there none.
 *
 * The directory may be the daemon's.  No link that others can have made is followed on the way to it,
 * only the file that has been put aside is touched afterwards, and what others put into its place
 * is told and left: it refuses no upgrade.
 *
 * One upgrade at a time, and so one set of files.
 */
#pragma once

#include "helper/state/instance.h"

/* -errno, with one line in `complaint`, and all is where it was.  `paths` are still ours to read
 * until one of the next two. */
int aside_begin(struct instance *instance, char *const *paths, char *complaint, size_t size);

/* The upgrade is complete.  Also without one that has begun, as all that follow. */
void aside_keep(void);

/* It has failed, and its processes are gone. */
void aside_put_back(void);

/*
 * A launcher that was killed in an upgrade has left a file aside.  Where nothing has its place it is
 * put back: the daemon finds what it would find without us.  Else it stays, and that is said.
 */
void aside_recover(const char *instance, char *const *paths);
