/* SPDX-License-Identifier: MIT */
/* Going to the background. */
#pragma once

/*
 * Forks and returns in the child; the parent waits for background_done() and exits with its status.
 * Does not return when it cannot.
 */
void background_begin(void);

/* Lets the parent go; stdio that is no file is /dev/null from then on. Nothing in the foreground.
 */
void background_done(int status);
