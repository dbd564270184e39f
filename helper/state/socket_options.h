/* SPDX-License-Identifier: MIT */
/*
 * The options of a shared socket when the generation that accepts from it changes.
 *
 * The next generation sets its options on a socket of its own, the template: the fresh one that it
 * would have bound.  At the switch the shared socket gets them all, also those that the template has
 * at their defaults, so that it is then as the new version alone would have made it.
 */
#pragma once

#include <stdbool.h>

/* Makes `shared` like `template`. What needs a privilege we lack stays as it was. */
void socket_options_copy(int template, int shared);

/* Has it a filter that nobody can take off, or change, as long as the socket lives? */
bool socket_has_locked_filter(int fd);

bool socket_is_reuseport(int fd);
void socket_set_reuseport(int fd, bool reuseport);

/* The real O_NONBLOCK of the shared file description. */
void socket_set_nonblock(int fd, bool nonblock);
bool socket_is_nonblock(int fd);

/* Drops new connections (SYNs) or all datagrams, by a classic BPF filter, or none again. */
void socket_refuse_connections(int fd);
void socket_refuse_datagrams(int fd);
void socket_refuse_nothing(int fd);
