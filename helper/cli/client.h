/* SPDX-License-Identifier: MIT */
/* The operator's commands: send a request to the launcher of an instance and print its answers. */
#pragma once

#include "helper/cli/options.h"

/*
 * upgrade, status, stop.  `words` are the words after the verb on the command line, without the
 * instance's name.  Returns the exit status.  Without options->name the request goes to the only
 * running instance; if several are running, the command fails and lists them.
 */
int client_run(enum verb verb, const struct options *options, int word_count, char **words);

/*
 * list: name, launcher's pid, state, generation and command of each instance.  Returns the exit
 * status.
 */
int client_list(void);
