/* SPDX-License-Identifier: MIT */
/*
 * The options of a shared socket when another generation accepts from it.
 *
 * The next generation sets its options on a socket of its own, the template: the fresh socket that
 * it would have bound.  The switch copies all options of the template to the shared socket, also
 * those that have their default value.  The shared socket is then as the new version alone would
 * have made it.
 */
#pragma once

#include <stdbool.h>

/*
 * Copies the options of `template` to `shared`.  An option that needs a privilege the launcher
 * lacks keeps its value.
 */
void socket_options_copy(int template, int shared);

/* Has the socket a filter that can never be removed or changed again (SO_LOCK_FILTER)? */
bool socket_has_locked_filter(int fd);

/* SO_REUSEPORT; of no use for UNIX sockets. */
bool socket_is_reuseport(int fd);
void socket_set_reuseport(int fd, bool reuseport);

/* The real O_NONBLOCK of the shared file description. */
void socket_set_nonblock(int fd, bool nonblock);
bool socket_is_nonblock(int fd);

/* Drops new connections (SYNs) or all datagrams by a classic BPF filter; or removes the filter. */
void socket_refuse_connections(int fd);
void socket_refuse_datagrams(int fd);
void socket_refuse_nothing(int fd);
