/* SPDX-License-Identifier: MIT */
/* The launcher's event loop: descriptors that become readable, and timers. One thread, one loop. */
#pragma once

#include <stdbool.h>

#include "helper/util.h"

/* Embedded in whoever waits; must outlive its registration. `fd` stays the owner's. */
struct watch {
	int fd;
	bool once; /* told once for each arrival, though nothing is read */
	void (*ready)(void *context);
	void *context;
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

/* Runs until loop_end(). A callback may add, remove and free any watch or timer but its own
 * event's. */
void loop_run(void (*before)(void)); /* `before` is called before each callback */
void loop_end(void);
