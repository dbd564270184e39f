/* SPDX-License-Identifier: MIT */
/*
 * Socket options of a listener.  Before its turn (WARMING), what the generation sets must not
 * change the shared socket.  Such options go to the template, a socket of its own that the launcher
 * keeps for this generation.  At the switch they are copied to the shared socket.
 */
#pragma once

#include <sys/socket.h>

/* setsockopt() and getsockopt() of the listener `listener`; result and errno are theirs. */
int adopt_set_option(
        int listener, int fd, int level, int name, const void *value, socklen_t length);
int adopt_get_option(int listener, int fd, int level, int name, void *value, socklen_t *length);
