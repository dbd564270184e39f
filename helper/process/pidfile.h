/* SPDX-License-Identifier: MIT */
/*
 * The launcher's own pid file.
 *
 * Whoever reads it sees nothing, or the whole of it: it is written beside and renamed.  The launcher
 * keeps a POSIX lock on it as long as it lives; forked keepers do not have that, and no pid that has
 * been used again can be taken for it, so a file that is left over never keeps anybody from
 * starting.
 *
 * The directory may be the daemon's.  What others have put there is not opened, is never in the way,
 * and goes.
 */
#pragma once

#include <sys/types.h>

/*
 * Mode 0644 whatever the umask.  0 or -errno; -EBUSY: the one that is there is locked, and *ret_owner
 * (0: not told) is the process that has it; -EPERM: as walk_to_directory() has it.
 */
int pidfile_write(const char *path, pid_t *ret_owner);

/* Unless it has become somebody else's. */
void pidfile_remove(void);
