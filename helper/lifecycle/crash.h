/* SPDX-License-Identifier: MIT */
/* --restart: how long the launcher waits before it starts a program again that has ended. */
#pragma once

#include "helper/state/instance.h"

/* No restart is due any more.  True: one was. */
bool crash_cancel(void);

/* Schedules a restart, later each time. */
void crash_schedule(struct instance *instance);

/* An operator has replaced the program, or it has run long enough: the next restart comes soon. */
void crash_forget(void);
void crash_forget_if_old(const struct generation *generation);

/* Has the generation ended in a way that counts for --restart=on-failure? */
bool crash_has_failed(const struct generation *generation);
