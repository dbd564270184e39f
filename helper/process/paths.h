/* SPDX-License-Identifier: MIT */
/*
 * Operations on paths that a daemon has named.  A path is a descriptor of a directory and the last
 * component.
 *
 * Each operation runs in a child (helper/process/path_child.h), because a file system may be slow
 * or, if it is the daemon's own (FUSE), never answer.  The launcher waits half a second for the
 * child, and up to four seconds while the child gets no processor.  Then it kills the child and
 * goes on; the supervisor reaps the child when it ends.
 *
 * All operations of a generation fail with -ETIMEDOUT when it has used up its time
 * (helper/process/path_budget.h), or when 16 of its children have not ended.
 */
#pragma once

#include "helper/process/asker.h"
#include "helper/process/look.h"

/*
 * Looks at the file with that name.  0, also if there is none, or -errno.  `ret_pinned` (may be
 * NULL): the socket file itself, opened by O_PATH, through which a client can connect; the caller's
 * to close.  -1: not a socket file, or its file system is FUSE.
 */
int paths_look(const struct asker *asker, int directory, const char *name, struct look *ret_look,
        int *ret_pinned);

/*
 * Gives the socket file with that name this mode (the permissions only, no set-id or sticky bit)
 * and owner.  0; -ESTALE: the name leads to another file than `file`; other -errno.
 */
int paths_restore(const struct asker *asker, int directory, const char *name, struct file_id file,
        mode_t mode, uid_t uid, gid_t gid);

/*
 * Removes the socket file with that name.  0; -ESTALE: the name leads to another file than `file`;
 * other -errno.  Between the check and the removal another process that may write to the directory
 * can put another file there, which is removed then.  That process could have removed that file
 * itself, and so could the asker.
 */
int paths_unlink(const struct asker *asker, int directory, const char *name, struct file_id file);

/*
 * Reads the beginning of a regular file of 1 to `most` bytes.  `name` NULL: the file is `directory`
 * itself.  Returns the number of bytes, `size` at most, or -errno.
 */
ssize_t paths_read(const struct asker *asker, int directory, const char *name, off_t most,
        char *text, size_t size);

/*
 * Does that absolute path lead to `file`, seen from the launcher's root with the rights of the
 * asker?  `directory`: any descriptor.
 */
bool paths_leads_to(
        const struct asker *asker, int directory, const char *path, struct file_id file);

/* Call when a child of the launcher has ended.  True: it was one of these. */
bool paths_reaped(pid_t pid);
