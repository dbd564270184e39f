/* SPDX-License-Identifier: MIT */
/*
 * One request of a daemon's process (shim/contract.h), as a checked value.
 *
 * The bytes and descriptors of a message come from a process that may be an attacker's.  They are
 * decoded in request_decode() and nowhere else: what comes out has lengths, numbers, names and
 * kinds of descriptors that fit the verb, and nothing of the message is looked at a second time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/process/paths.h"
#include "helper/state/identity.h"
#include "shim/contract.h"

struct request {
	enum moult_verb verb;
	uint32_t generation;
	char token[MOULT_TOKEN_DIGITS];
	int listener; /* -1, or below MOULT_LISTENERS */
	int backlog;
	struct asker asker; /* by the kernel's word, at the time of its connect() */

	/* The socket that came along; inode 0: none did. */
	uint64_t socket;
	int family;
	/*
	 * BIND, YIELD, CALLING: its identity with the address that was asked for (a path's
	 * directory is known by the launcher).  LISTEN: with the address that it is bound to.
	 */
	bool is_known; /* a kind of socket that can be handed over; else `identity` is empty */
	struct identity identity;
	bool reuseport, reuseaddr, nonblock, has_peer;

	/* Last components of a place and of REPLACE's other path: no '/', not "", "." or "..". */
	char name[MOULT_NAME_ROOM];
	char other[MOULT_NAME_ROOM];

	/* Which of the descriptors that came along are which; -1: none. */
	int socket_fd, directory_fd, other_fd;
};

/* -EPROTO: of another contract; -EBADMSG: it is no request.  The descriptors stay the caller's. */
int request_decode(const void *bytes, size_t length, const int *fds, size_t fd_count,
        struct request *ret_request);
