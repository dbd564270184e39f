/* SPDX-License-Identifier: MIT */
/*
 * How the broker closes descriptors that it has received from other processes, without ever
 * waiting.
 *
 * Two things can make close() wait for as long as the sender likes.
 *
 *   - The last close of a socket waits if SO_LINGER is set and data is unsent.  The kernel does not
 *     wait if the process is exiting (net/ipv4/af_inet.c, inet_release(): PF_EXITING).  So a forked
 *     child has a copy of each socket, waits until the broker has closed its own, and exits.
 *   - Every close of a file calls ->flush of its file system, also a close that is not the last,
 *     and also the one at the end of a process (fs/open.c, filp_close()).  A FUSE server may never
 *     answer, and a process that waits for it cannot be killed.  Sockets have no ->flush, and a
 *     descriptor opened by O_PATH is not flushed.  A proper request has no other descriptors, so
 *     castoff_leave() may be slow.
 *
 * Descriptors that the broker keeps have numbers below castoff_floor(); those to be closed have
 * higher ones.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * All numbers from `first` on are free.  CASTOFF_OWN of them is used here; at most `most`
 * descriptors are to be kept besides.
 */
enum { CASTOFF_OWN = 1 };
void castoff_init(int first, int most);

/* Numbers below this one are for descriptors that are kept.  Unused ones refer to /dev/null. */
int castoff_floor(void);

/* Moves the descriptor to that number, below the floor. */
void castoff_keep(int fd, int number);

/* The descriptor with that number, below the floor, is to be closed. */
void castoff_give_up(int number);

/*
 * This descriptor is to be closed.  It is a socket, opened by O_PATH, or a file of the launcher's.
 */
void castoff_add(int fd);
bool castoff_is_empty(void);

/* Closes them: _tidy if there are many, _release in any case.  Not in the middle of a message. */
void castoff_tidy(void);
void castoff_release(void);

/* Is it neither a socket nor opened by O_PATH?  Then its close may wait. */
bool castoff_is_file(int fd);

/*
 * Leaves all descriptors above the floor to a child, without closing one of them in this process.
 * The child may never end.  `begun` is called with its pid before anything can hang.
 */
void castoff_leave(void (*begun)(void *context, pid_t pid), void *context);
