/* SPDX-License-Identifier: MIT */
/*
 * An errand: a look at a daemon's processes, in a child process of the launcher.
 *
 * The daemon decides what such a look costs: a process can have a million descriptors, and an epoll
 * instance a million entries.  Some looks never end.  Reading /proc/PID/fdinfo of an epoll instance
 * waits for its lock, and a process can keep the lock for ever while it waits for the memory of an
 * event (userfaultfd, FUSE).  /proc/PID/root leads into file systems of the daemon's own.  So the
 * launcher's loop does not look itself.  fork() gives the child a copy of all that the launcher
 * knows; the child sends back an answer of a fixed size and exits.
 *
 * Beside standard input, output and error the child has only the descriptor for its answer.  It
 * unmaps what processes share with the launcher (confine_leave_memory()).  An alarm ends the child
 * in time, so the launcher never has to kill it by a pid that may belong to another process by
 * then.
 */
#pragma once

#include "helper/base/loop.h"

/* All zero: not running. */
struct errand {
	struct watch answer;
	struct timer deadline;
	nanoseconds began;
	size_t size;
	bool running; /* the child has not ended, in time or not; no second one is started */
	bool overdue; /* out of time: the answer is ignored when it comes */
	int parcel;   /* in `done`: the file from errand_pack(); -1: none */
	void (*done)(void *context, const void *answer);
	void *context;
};

/* The size of the longest answer in bytes, and the longest time for it. */
enum { ERRAND_ANSWER_MAX = 8192, ERRAND_SECONDS = 5 };

/* Runs in the child.  Fills in `answer`, which is all zero before.  0, or -errno: no answer. */
typedef int errand_look(const void *question, void *answer);

/*
 * Runs in the child: a file (memfd) goes with the answer, for what has no fixed size.  The child has
 * only one.  0 or -errno.
 */
int errand_pack(const void *content, size_t size);

/*
 * Starts the child.  `done` is called once, from loop_run() or errand_wait(): with the answer
 * (`size` bytes, aligned for any type), or with NULL if there is none.  0; -EBUSY: the last child
 * has not ended; other -errno.
 */
int errand_begin(struct errand *errand, errand_look *look, const void *question, size_t size,
        void (*done)(void *context, const void *answer), void *context);

/* Waits for the answer, `patience` at most.  The loop stands still meanwhile. */
void errand_wait(struct errand *errand, nanoseconds patience);

/* `done` will not be called any more. */
void errand_cancel(struct errand *errand);
