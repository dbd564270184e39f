/* SPDX-License-Identifier: MIT */
/*
 * Why a generation may never be ready, where more time will not help: said early, for people.  A child
 * looks (helper/process/errand.h); when it does not answer at once, a later call may have its answer.
 */
#pragma once

#include "helper/state/instance.h"

/* It listens, and none of its calls reached us. True: told, also to who asks for an upgrade. */
bool hint_unseen(struct instance *instance, const struct generation *generation);

/* It has a listener, waits nowhere, and has another way to accept. */
void hint_io_uring(const struct generation *generation);
