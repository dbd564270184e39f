/* SPDX-License-Identifier: MIT */
/* --restart: how long the launcher waits before it starts a program again that has ended. */
#pragma once

#include "helper/state/instance.h"

/* No restart is due any more.  True: one was. */
bool restart_cancel(void);

/* Schedules a restart, later each time. */
void restart_schedule(struct instance *instance);

/* An operator has replaced the program, or it has run long enough: the next restart comes soon. */
void restart_forget(void);
void restart_forget_if_old(const struct generation *generation);

/*
 * The first process of the current generation has ended, now or while another one was current:
 * looks in a moment what that means.
 */
void restart_look(struct generation *generation);
