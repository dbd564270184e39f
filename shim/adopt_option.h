/* SPDX-License-Identifier: MIT */
/* Options that the daemon sets on a listener before it is its turn. */
#pragma once

#include <sys/socket.h>

/* Options of a listener whose turn has not come go to its template, in the launcher. */
int adopt_set_option(
        int listener, int fd, int level, int name, const void *value, socklen_t length);
int adopt_get_option(int listener, int fd, int level, int name, void *value, socklen_t *length);
