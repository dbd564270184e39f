/* SPDX-License-Identifier: MIT */
/*
 * What the launcher does as the user of another process, where its own privileges do not reach.
 *
 * A sandbox may take CAP_KILL and CAP_SYS_PTRACE away from a launcher of root, and leave it
 * CAP_SETUID, so that its daemon can change the user.  Then the kernel lets the launcher signal and
 * see the daemon's processes as their user, though not as root.  Only the effective user or the
 * user for files changes, for one call: the real and the saved user stay, so that a process of that
 * user can neither signal nor trace the launcher meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Sends a signal through `pidfd`, or to `pid` if it is -1.  0 or -errno; -EPERM: neither the
 * launcher nor the user of the process may.
 */
int owner_signal(int pidfd, pid_t pid, int signal);

/*
 * Has owner_signal() found a process that it may not signal, since the last call of this function?
 * *ret_uid: the process's real user; -1: not known.
 */
bool owner_was_refused(uid_t *ret_uid);

/*
 * From here to owner_end_look() this process looks at files as the user and group of `pid`.  False:
 * it cannot, and nothing has changed.  Only for a child of the launcher (helper/process/errand.h).
 */
bool owner_begin_look(pid_t pid);
void owner_end_look(void);
