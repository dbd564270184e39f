/* SPDX-License-Identifier: MIT */
/* The launcher's event loop: descriptors that become readable, and timers. One thread, one loop. */
#pragma once

#include <stdbool.h>

#include "helper/base/util.h"

/* Embedded in the owner's struct; must outlive its registration. The owner closes `fd`. */
struct watch {
	int fd;
	bool once; /* edge-triggered: one call for each arrival, even if nothing is read */
	void (*ready)(void *context);
	void *context;
	struct timer *rest; /* set by loop_accept() */
};

struct timer {
	nanoseconds at;
	void (*fire)(void *context);
	void *context;
	struct timer *next;
	bool armed;
};

/* 0 or -errno. */
int loop_init(void);
int loop_watch(struct watch *watch);
void loop_unwatch(struct watch *watch);

/* (Re)arms: `fire` is called once from loop_run(), `delay` from now. NEVER disarms. */
void loop_after(struct timer *timer, nanoseconds delay);
void loop_cancel(struct timer *timer);

/*
 * accept4() on a watched, non-blocking listener: a descriptor, CLOEXEC, or -errno.  Without free
 * descriptors or memory the connection stays queued and the listener stays readable, which would
 * keep the loop busy: the watch is taken out for 100 ms.  `rest` is a timer for this watch alone,
 * all zero at first; the caller cancels it before loop_unwatch().
 */
int loop_accept(struct watch *watch, struct timer *rest);

/*
 * Runs until loop_end().  before(context) is called after each wait, before the callbacks that are due.  A
 * callback may add, remove and free any watch and any timer, its own as well.
 */
void loop_run(void (*before)(void *), void *context);
void loop_end(void);
