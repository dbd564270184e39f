/* SPDX-License-Identifier: MIT */
/* How libmoult.so gets into the daemon: where the library is, and the environment that loads it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Finds libmoult.so.  0; -ENOENT; -EINVAL: its path contains a space or colon, at which the dynamic
 * loader would split it, or is too long.
 */
int preload_library(char *path, size_t size);

/*
 * Is the library of another contract than this launcher?  A package upgrade or `make install` may
 * have replaced the file since the launcher was started.  *ret_contract: the library's; 0: the file
 * says none.  A file that cannot be read is not of another contract: what is wrong with it shows
 * when the program is started.
 */
bool preload_is_of_other_contract(const char *library, uint32_t *ret_contract);

/*
 * The launcher's environment with `variable` ("MOULT=..."), `notify` ("NOTIFY_SOCKET=..." or "")
 * and the library in LD_PRELOAD.  One allocation, the caller's to free; it points into `environ`.
 * NULL: out of memory.
 */
char **preload_environment_new(const char *variable, const char *notify, const char *library);
