/* SPDX-License-Identifier: MIT */
/*
 * A look at a daemon's processes, in a child process of the launcher.
 *
 * What a look costs is the daemon's to say: a process can have a million descriptors, and an epoll
 * instance a million entries.  Some looks need never end: /proc/PID/fdinfo of an epoll instance waits
 * for its lock, which a process keeps while it has no memory for an event (userfaultfd, FUSE), and
 * /proc/PID/root leads into file systems of the daemon's own.  So the launcher's loop does not look
 * itself.  fork() gives the child a copy of all that the launcher knows; the child sends back an answer
 * of a fixed size and ends.
 *
 * The child has no descriptor but the one for its answer, and may write no memory that is shared.
 * An alarm ends it in time, so that nobody has to kill it by a pid that may have become another's.
 */
#pragma once

#include "helper/base/loop.h"

/* All zero: none is on its way. */
struct errand {
	struct watch answer;
	struct timer deadline;
	nanoseconds began;
	size_t size;
	bool running; /* the child lives; out of time or not, there is no second one */
	bool overdue; /* its answer is not wanted any more */
	void (*done)(void *context, const void *answer);
	void *context;
};

/* The longest answer, and how long it may take. */
enum { ERRAND_ANSWER_MAX = 8192, ERRAND_SECONDS = 5 };

/* In the child: 0 and `answer` (all zero before), or -errno. */
typedef int errand_look(const void *question, void *answer);

/*
 * Begins.  `done` is called once, out of loop_run() or errand_wait(): with the answer (`size` bytes,
 * aligned for any type), or with NULL when there is none.  0; -EBUSY while the last one is running; -errno.
 */
int errand_begin(struct errand *errand, errand_look *look, const void *question, size_t size,
        void (*done)(void *context, const void *answer), void *context);

/* Stops the loop for the answer, so long at most. */
void errand_wait(struct errand *errand, nanoseconds patience);

/* `done` will not be called any more. */
void errand_cancel(struct errand *errand);
