/* SPDX-License-Identifier: MIT */
/* The operator's commands: one request to the launcher of an instance, its answers to the terminal.
 */
#pragma once

#include "helper/cli/options.h"

/*
 * upgrade, status, stop: sends `words` (what followed the verb on the command line, without the
 * instance's name) and relays the answers.  Returns the exit status.  Without a name: the only
 * running instance, else a usage error that lists them.
 */
int client_run(enum verb verb, const struct options *options, int word_count, char **words);

/* list: one line per instance: name, launcher's pid, state, generation, command. */
int client_list(void);
