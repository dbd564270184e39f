/* SPDX-License-Identifier: MIT */
/*
 * How the broker lets go of what has come to it from other processes: without ever waiting.
 *
 * Two things can make close() wait for as long as the sender likes.
 *
 * - The last close of a socket waits if SO_LINGER is set and data is unsent.  It does not in a process
 *   that is ending (net/ipv4/af_inet.c, inet_release(): PF_EXITING).  So a forked child has a reference
 *   to each socket, waits until the broker has closed its own, and ends.
 * - Every close of a file calls ->flush of its file system, also one that is not the last, and also the
 *   one at the end of a process (fs/open.c, filp_close()).  A FUSE server may never answer that, and
 *   nobody can kill who waits for it.  Sockets have no ->flush, and what was opened by O_PATH is not
 *   flushed.  No request has anything else, so what else there is goes by castoff_leave().
 *
 * What the broker keeps has numbers below castoff_floor(), what it lets go has higher ones.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * From `first` on all numbers are free: CASTOFF_OWN of them is used here, and so many descriptors, or
 * fewer, are to be kept besides.
 */
enum { CASTOFF_OWN = 1 };
void castoff_init(int first, int most);

/* Numbers below this one are for what is kept; each is in use, if only for /dev/null. */
int castoff_floor(void);

/* Puts it there; the number that it has had is free again. */
void castoff_keep(int fd, int number);

/* What is kept there is to be let go. */
void castoff_give_up(int number);

/* A socket, what was opened by O_PATH, or a file of the launcher's own is to be let go. */
void castoff_add(int fd);
bool castoff_is_empty(void);

/* Lets go, if there are many, or in any case.  Not while a message is worked on. */
void castoff_tidy(void);
void castoff_release(void);

/* Neither a socket nor opened by O_PATH: its close may wait. */
bool castoff_is_file(int fd);

/*
 * Leaves all that is not kept to a child, by a way that closes none of it here.  The child may never
 * end.  `begun` is told its pid before anything can hang.
 */
void castoff_leave(void (*begun)(void *context, pid_t pid), void *context);
