/* SPDX-License-Identifier: MIT */
/* Commands of a test to the running client: signals, and lines on stdin with --control. */
#pragma once

#include <stdbool.h>

/* Blocks the signals.  Returns a descriptor that is readable when a signal has come. */
int commands_open_signals(void);

/* SIGUSR1 renews the persistent connections; SIGTERM and SIGINT stop the client. */
void commands_take_signal(int signal_fd);

/*
 * Reads the available part of a line, and obeys a complete line: renew, close, report or stop.  End
 * of file counts as stop, and returns false.
 */
bool commands_take_line(void);
