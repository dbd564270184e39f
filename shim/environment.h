/* SPDX-License-Identifier: MIT */
/*
 * Which programs get the shim's two variables, MOULT and LD_PRELOAD.  The shim takes both out of
 * the daemon's environment at start.  A program that the daemon executes gets both only if the
 * program could come to bind or accept.
 */
#pragma once

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Copies our variables out of `environ` and removes them; other libraries in LD_PRELOAD stay.
 * Returns the value of MOULT.  Without MOULT, or if MOULT is too long, returns NULL and changes
 * nothing.
 */
const char *environment_take(void);

/*
 * Should a program executed now be a member, too?  Yes, as long as this process has never had a
 * listener; yes, if the program inherits a listener; and yes, if this process itself has served.
 * In the last case the program is the daemon again (sshd at SIGHUP), which closes its listeners and
 * binds anew.
 */
bool environment_follows(void);

/*
 * The same for a program spawned with these file actions (may be NULL).  Whether this process has
 * served does not matter, because this process goes on.
 */
bool environment_follows_spawn(const posix_spawn_file_actions_t *actions);

/*
 * For programs that libc starts with `environ` (system, popen).  Puts our variables into `environ`
 * until environment_reclaim().  Returns false and changes nothing if this process has, or had, a
 * listener, if the program could not join, if another thread has a loan, if `environ` is too large,
 * and in a vfork child.
 */
bool environment_lend(char ***ret_before);
void environment_reclaim(char **before);

/* How many bytes environment_extend() needs.  Both work in a vfork child and allocate nothing. */
size_t environment_room(char *const environment[]);

/* Builds `environment` with our variables in `room`.  The result points into the original. */
char **environment_extend(void *room, char *const environment[]);
