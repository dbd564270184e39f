/* SPDX-License-Identifier: MIT */
/*
 * Pokes: the launcher's own connections and datagrams (helper/switch/poke.h).  They are recognised
 * by the address from which they come.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Is this the address of a poke that is under way?  `length` is the kernel's. */
bool poke_is_from(const struct sockaddr_storage *address, socklen_t length);

/* Is the accepted connection `fd` a poke? */
bool poke_is_peer(int fd);
