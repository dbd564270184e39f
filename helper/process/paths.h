/* SPDX-License-Identifier: MIT */
/*
 * Operations on paths that a daemon has named: a descriptor of a directory, and the last component.
 *
 * Each runs in a child that has taken the credentials of the process on whose behalf it is done, so
 * that the kernel refuses whatever it would refuse to that process.  The child pins what the name
 * leads to, without following any link, looks at the pinned file and acts on that.
 *
 * A file system may be the daemon's own (FUSE), be slow or never answer.  The child is waited for
 * half a second, then killed and forgotten; the supervisor reaps it when it can end.  A generation
 * that has cost that twice is not served again: all its operations fail with -ETIMEDOUT.  So do
 * those of one that has cost half a second in all with slow answers, until it has paid that back, and
 * of one with many children that do not end.
 */
#pragma once

#include "helper/process/asker.h"
#include "helper/process/look.h"

/*
 * 0 (also when there is nothing) or -errno.  `ret_pinned` (or NULL): the socket file itself (O_PATH,
 * the caller's to close), by which it can be connected to; -1: there is none, or the file system is
 * one that may be the daemon's own.
 */
int paths_look(const struct asker *asker, int directory, const char *name, struct look *ret_look,
        int *ret_pinned);

/*
 * Gives the socket file there this mode (the permissions only: no set-id or sticky bit) and owner, if
 * it is `file`. 0 or -errno; -ESTALE: it is another one.
 */
int paths_restore(const struct asker *asker, int directory, const char *name, struct file_id file,
        mode_t mode, uid_t uid, gid_t gid);

/*
 * Removes the socket file there if it is `file`.  Between the look and the removal somebody who may
 * write to the directory can put another file into its place: then that one goes, which the same
 * somebody could have removed, and nothing that the asker could not.
 */
int paths_unlink(const struct asker *asker, int directory, const char *name, struct file_id file);

/*
 * The beginning of a regular file of 1 to `most` bytes; `name` NULL: of the file that the descriptor
 * refers to.  As many as fit; the length or -errno.
 */
ssize_t paths_read(const struct asker *asker, int directory, const char *name, off_t most,
        char *text, size_t size);

/* A child of the launcher has ended: was it one of these? */
bool paths_reaped(pid_t pid);
