/* SPDX-License-Identifier: MIT */
/* The launcher's event loop: descriptors that become readable, and timers. One thread, one loop. */
#pragma once

#include <stdbool.h>

#include "helper/base/util.h"

/* Embedded in whoever waits; must outlive its registration. `fd` stays the owner's. */
struct watch {
	int fd;
	bool once; /* told once for each arrival, though nothing is read */
	void (*ready)(void *context);
	void *context;
	struct timer *rest; /* of loop_accept() */
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

/* (Re)arms: fires once, `delay` from now, out of loop_run. NEVER disarms. */
void loop_after(struct timer *timer, nanoseconds delay);
void loop_cancel(struct timer *timer);

/*
 * accept4() on a watched, non-blocking listener: a descriptor, CLOEXEC, or -errno.  Where there are
 * no descriptors or no memory left, the connection stays queued, and a loop that looked again at once
 * would do nothing else: the watch rests for 100 ms.  `rest` is the watch's own, zero at first; to be
 * cancelled with loop_cancel() before loop_unwatch().
 */
int loop_accept(struct watch *watch, struct timer *rest);

/* Runs until loop_end(). A callback may add, remove and free any watch or timer but its own
 * event's. */
void loop_run(void (*before)(void)); /* `before` is called before each callback */
void loop_end(void);
