/* SPDX-License-Identifier: MIT */
/*
 * Receives what a daemon says by sd_notify(3), in a process of its own.
 *
 * A message may bring descriptors (FDSTORE=1), and whoever receives one has to close it.  The last
 * close() of a descriptor from another process may wait for ever (helper/process/discard.h, and any
 * close of a FUSE file), so the launcher must not receive one.  A reader that hangs is the loss of
 * the generation that has sent the descriptor, and of no other.
 */
#pragma once

#include <sys/types.h>

#include "helper/base/loop.h"

struct notification {
	pid_t sender;     /* as the kernel says */
	bool ready;       /* READY=1 */
	bool watchdog;    /* WATCHDOG=1 */
	char status[240]; /* STATUS=, one line of printable characters; "": none */
};

struct notifier {
	struct watch link; /* to the reader; -1: there is none */
	char address[64];  /* an abstract name, without its NUL */
	void (*heard)(void *context, const struct notification *notification);
	void *context;
};

/*
 * Binds a socket whose address ends with `digits`, and starts the reader.  heard(context) is called
 * from the loop for each message.  0 or -errno; notifier_stop() is due in both cases.
 */
int notifier_start(struct notifier *notifier, const char *digits,
        void (*heard)(void *context, const struct notification *notification), void *context);

/* Ends the reader.  No-op if there is none. */
void notifier_stop(struct notifier *notifier);
