/* SPDX-License-Identifier: MIT */
/*
 * The launcher's own pid file.
 *
 * A reader sees no file or a complete one: it is written under another name and renamed.  The
 * launcher keeps a POSIX lock on the file as long as it lives.  Forked keepers do not inherit the
 * lock, and a pid that is used again does not have it.  So a file that is left over never keeps a
 * launcher from starting.
 *
 * The directory may be the daemon's.  What other users have put at the path is not opened, does not
 * stop the launcher, and is replaced.
 */
#pragma once

#include <sys/types.h>

/*
 * Writes the file, with mode 0644 whatever the umask.  0 or -errno; -EBUSY: the file that is there
 * is locked by the process *ret_owner (0: the kernel does not tell); -EPERM: see
 * walk_to_directory().
 */
int launcher_pidfile_write(const char *path, pid_t *ret_owner);

/* Removes the file, unless another file has its name by now or another pid is in it. */
void launcher_pidfile_remove(void);
