/* SPDX-License-Identifier: MIT */
/*
 * What a process inherits, and the launcher needs otherwise: signal dispositions, mask, limits,
 * umask, alarms, death signal, subreaper flag, standard streams.
 *
 * The launcher sets what it needs. The programs that it executes get what was there.
 */
#pragma once

#include <stdbool.h>

/* Remembers, then sets what every verb needs. Once, before anything else. */
void inherited_take(void);

/* Alarms are the program's where there is one, and else the command's own. Before forking. */
void inherited_take_timers(void);

/* In a forked child, as the last thing before exec: everything as it was found. */
void inherited_give(void);

/*
 * In a forked child before exec: descriptors passed by an init system name the pid that may use
 * them (LISTEN_PID). Where that was the launcher, the caller's pid takes its place in `environment`.
 */
void inherited_give_sockets(char **environment);

/* Was the signal ignored when the launcher started? */
bool inherited_ignored(int signal);
