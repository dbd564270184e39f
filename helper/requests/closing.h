/* SPDX-License-Identifier: MIT */
/*
 * Listeners a process says it has closed: looked at a second later, for it may bind the address
 * again, or another process may hold it still.  If nobody does, the queue ends as it would without
 * us.
 */
#pragma once

#include "helper/state/instance.h"

void closing_begin(struct instance *instance, struct generation *generation, uint32_t listener);

/* It has been taken up again; listener -1: the generation has ended. */
void closing_cancel(const struct generation *generation, int listener);

/* Has a process said that it has closed it, and has not been looked at? */
bool closing_is_pending(const struct generation *generation, uint32_t listener);
