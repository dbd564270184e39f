/* SPDX-License-Identifier: MIT */
/* Is a process in the same namespace, or the same root directory, as the launcher? */
#pragma once

#include <sys/types.h>

/*
 * `link`: a link in /proc/PID, "ns/net" for example, or "root".  1: both processes have the same; 0:
 * the process has another one; -errno: not known, because the process has ended or may not be looked
 * at.
 */
int namespace_is_shared(pid_t pid, const char *link);
