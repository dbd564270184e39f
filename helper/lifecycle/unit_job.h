/* SPDX-License-Identifier: MIT */
/*
 * Does systemd end this service for good, or does it start the service again at once?
 *
 * SIGTERM is the same for `systemctl stop` and for `systemctl restart`, but the job of the unit has
 * that name while the service ends (systemctl list-jobs).  systemctl is asked in a child process,
 * because the manager may be slow.
 */
#pragma once

#include <stdbool.h>

struct unit_answer {
	bool restarts; /* its job is a restart */
	bool stores;   /* its file descriptor store is not empty */
};

/*
 * Asks.  `done` is called once, from the loop, at the latest after ERRAND_SECONDS.  Both are false
 * if there is no answer.  Asked while a question is under way, only the last `done` is called.
 */
void unit_job_ask(void (*done)(void *context, const struct unit_answer *answer), void *context);
