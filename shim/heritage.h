/* SPDX-License-Identifier: MIT */
/*
 * Whether a program that is executed or spawned now would inherit a listener.
 *
 * exec passes on every descriptor that is not close-on-exec.  posix_spawn() does the same after its
 * file actions.  A file action may pass on a descriptor that is close-on-exec here (an inetd gives
 * a listener to its service as descriptor 0), or close one that is not.  libc keeps the file
 * actions in a structure of its own, so the hooks note each action when the daemon adds it.
 */
#pragma once

#include <spawn.h>
#include <stdbool.h>

/*
 * Would a program executed now inherit a listener?  In a vfork child the answer comes from the
 * kernel, because the table describes the descriptors of the parent.
 */
bool heritage_of_exec(void);

/* Would a program spawned with `actions` (may be NULL) inherit a listener? */
bool heritage_of_spawn(const posix_spawn_file_actions_t *actions);

enum heritage_action {
	HERITAGE_DUP,       /* `from` is duplicated to `to` */
	HERITAGE_REPLACE,   /* `to` is closed, or opened anew */
	HERITAGE_CLOSEFROM, /* `to` and all above are closed */
};

/* Notes an action that the daemon has added to `actions`. */
void heritage_note(
        const posix_spawn_file_actions_t *actions, enum heritage_action action, int from, int to);

/* Drops all notes about `actions`, which is about to be initialised or destroyed. */
void heritage_forget(const posix_spawn_file_actions_t *actions);
