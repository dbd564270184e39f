/* SPDX-License-Identifier: MIT */
/*
 * Tells the supervisor that has started the launcher that the service is ready: a newline to an
 * inherited descriptor (s6's notification-fd, dinit's ready-notification).
 */
#pragma once

/*
 * Takes the descriptor: the program does not inherit it.  Call before any other descriptor is
 * opened.  0 or -errno; -EBADF: the launcher was started without it.
 */
int notify_fd_take(int number);

/* Writes the newline and closes the descriptor.  Without effect if there is none. */
void notify_fd_ready(void);
