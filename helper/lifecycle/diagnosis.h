/* SPDX-License-Identifier: MIT */
/*
 * Early log lines about a generation that will not become ready, however long the launcher waits.
 * A child process looks for the reason (helper/process/errand.h).  If the child does not answer at
 * once, a later call may have the answer.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * For a generation without any listener in the store: it listens without our library.  True: the
 * log says why.  If the loader ignored LD_PRELOAD (AT_SECURE), later upgrades are refused with the
 * same words.
 */
bool diagnose_not_preloaded(struct instance *instance, const struct generation *generation);

/* For a generation that holds a listener and waits nowhere: does it accept through io_uring? */
void diagnose_io_uring(const struct generation *generation);
