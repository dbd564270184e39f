/* SPDX-License-Identifier: MIT */
/*
 * What a program that is executed or spawned now would inherit of our listeners.
 *
 * By exec: what is not close-on-exec.  By posix_spawn: the same after the file actions, which may
 * hand on a descriptor that is close-on-exec here (an inetd gives a listener to its service as 0),
 * or close one that is not.  libc keeps them in a structure of its own, so they are noted as they
 * are added.
 */
#pragma once

#include <spawn.h>
#include <stdbool.h>

/* Would a program executed now have a listener? Asks the kernel in a vfork child, whose
 * descriptors are not those that the parent's table tells of. */
bool heritage_of_exec(void);

/* Would one spawned with `actions` (or NULL)? */
bool heritage_of_spawn(const posix_spawn_file_actions_t *actions);

enum heritage_action {
	HERITAGE_DUP,       /* from, to */
	HERITAGE_REPLACE,   /* to: closed, or opened anew */
	HERITAGE_CLOSEFROM, /* to, and all above */
};

/* Has been added to `actions`. */
void heritage_note(
        const posix_spawn_file_actions_t *actions, enum heritage_action action, int from, int to);

/* `actions` is new, or no more. */
void heritage_forget(const posix_spawn_file_actions_t *actions);
