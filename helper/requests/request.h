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
	struct asker asker; /* as the kernel has recorded it at the connect() */

	/* The inode of the socket that came along; 0: none did. */
	uint64_t socket;
	int family;
	/*
	 * BIND, BIND_BESIDE, CALLING: the socket's identity, with the address that bind() or
	 * connect() was called with; the launcher adds the directory of a path.  LISTEN: with the
	 * address that the socket is bound to.
	 */
	bool is_known; /* this kind of socket can be handed over; else `identity` is empty */
	struct identity identity;
	bool reuseport, reuseaddr, nonblock, has_peer;

	/*
	 * The last component of a place, and of REPLACE's other path: no '/', not "", "." or "..".
	 */
	char name[MOULT_NAME_ROOM];
	char other[MOULT_NAME_ROOM];

	/* The descriptors that came along; -1: none. */
	int socket_fd, directory_fd, other_fd;
};

/*
 * 0; -EPROTO: a request of another contract; -EBADMSG: not a request.  The descriptors stay the
 * caller's.
 */
int request_decode(const void *bytes, size_t length, const int *fds, size_t fd_count,
        struct request *ret_request);
