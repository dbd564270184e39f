/* SPDX-License-Identifier: MIT */
/*
 * The shim follows the listener: our two variables leave the daemon's environment at start, and go
 * back into that of a program it executes only if that program could come to bind or accept.
 */
#pragma once

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Copies our variables out of `environ` and removes them; a preloaded library of the user's stays.
 * Returns the value of MOULT, or NULL when there is none: then nothing has been touched.
 */
const char *environment_take(void);

/*
 * Should a program executed now be a member too?  Also the one that replaces a process which has
 * served: that is the daemon itself again (sshd at SIGHUP), and it will bind what it has closed.
 */
bool environment_follows(void);

/* Or one spawned with these file actions (or NULL)? */
bool environment_follows_spawn(const posix_spawn_file_actions_t *actions);

/*
 * For what libc starts by itself, with `environ`: while nothing is bound ours are in there until
 * environment_reclaim().  False: not lent, since it does not follow or another thread has it.
 */
bool environment_lend(char ***ret_before);
void environment_reclaim(char **before);

/* How many bytes environment_extend needs; works in a vfork child, allocates nothing. */
size_t environment_room(char *const environment[]);

/* `environment` with our variables, built in `room`; it points into the original. */
char **environment_extend(void *room, char *const environment[]);
