/* SPDX-License-Identifier: MIT */
/* The launcher's own connections and datagrams (helper/switch/poke.h), known by where they come from. */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>

/* Is that the address of one that is out now? `length` as the kernel gave it. */
bool poke_is_from(const struct sockaddr_storage *address, socklen_t length);

/* Is the accepted connection `fd` one? */
bool poke_is_peer(int fd);
