/* SPDX-License-Identifier: MIT */
/*
 * The process attributes that the launcher inherits but needs to have otherwise: signal
 * dispositions, mask, limits, umask, alarms, death signal, subreaper flag, standard streams.
 *
 * The launcher sets what it needs.  The programs that it executes get back what was inherited.
 */
#pragma once

#include <stdbool.h>

/* Remembers the attributes, then sets what every verb needs.  Call once, before anything else. */
void inherited_take(void);

/*
 * Remembers and stops the interval timers.  Only for verbs that execute a program, to which the
 * timers belong; with other verbs the timers end the command.  Call before forking.
 */
void inherited_take_timers(void);

/* Restores all attributes.  In a forked child, as the last step before exec. */
void inherited_give(void);

/*
 * An init system that passes descriptors names the pid that may use them (LISTEN_PID), and the one
 * that it watches (WATCHDOG_PID).  Where this is the launcher's pid in `environment`, replaces it by
 * the caller's.  In a forked child, before exec.
 */
void inherited_give_pids(char **environment);

/* Was the signal ignored when the launcher started? */
bool inherited_ignored(int signal);
