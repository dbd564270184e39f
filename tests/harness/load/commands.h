/* SPDX-License-Identifier: MIT */
/* What a test tells the running client: by signals, and with --control on its standard input. */
#pragma once

#include <stdbool.h>

/* Blocks the signals.  Returns a descriptor that is readable when one has come. */
int commands_open_signals(void);

/* SIGUSR1 renews the persistent connections; SIGTERM and SIGINT stop the client. */
void commands_take_signal(int signal_fd);

/*
 * Takes what is there of a line: `renew`, `close`, `report` or `stop`.  The end of the file is `stop`, and
 * returns false.
 */
bool commands_take_line(void);
