/* SPDX-License-Identifier: MIT */
/* How libmoult.so gets into the daemon: where the library is, and the environment that loads it. */
#pragma once

#include <stddef.h>

/*
 * Finds libmoult.so.  0; -ENOENT; -EINVAL: its path contains a space or colon, at which the dynamic
 * loader would split it, or is too long.
 */
int preload_library(char *path, size_t size);

/*
 * The launcher's environment with `variable` ("MOULT=..."), `notify` ("NOTIFY_SOCKET=..." or "")
 * and the library in LD_PRELOAD.  One allocation, the caller's to free; it points into `environ`.
 * NULL: out of memory.
 */
char **preload_environment_new(const char *variable, const char *notify, const char *library);
