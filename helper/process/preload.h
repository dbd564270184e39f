/* SPDX-License-Identifier: MIT */
/* How the library gets into the daemon: where it is, and the environment that loads it. */
#pragma once

#include <stddef.h>

/*
 * Finds libmoult.so.  0; -ENOENT; -EINVAL when its path has a space or colon in it, at which the
 * dynamic loader would split it.
 */
int preload_library(char *path, size_t size);

/*
 * The launcher's environment with `variable` ("MOULT=..."), `notify` ("NOTIFY_SOCKET=..." or "")
 * and the library in LD_PRELOAD.  One allocation, the caller's to free; it points into `environ`.
 */
char **preload_environment_new(const char *variable, const char *notify, const char *library);
