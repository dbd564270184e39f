/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that a service manager has passed to the launcher (sd_listen_fds(3)).
 *
 * There are two kinds, told apart by their names in LISTEN_FDNAMES:
 *   - sockets that an earlier launcher of this service has put into the manager's store.  Their
 *     names begin with PASSED_PREFIX;
 *   - sockets of the manager's own (socket activation).  The daemon may look for them at descriptor
 *     3 and above, so it inherits these.
 */
#pragma once

#include <stdbool.h>

#define PASSED_PREFIX "moult."

enum { PASSED_NAME = 64 };

struct passed {
	int fd;                 /* a duplicate, close-on-exec; the caller's to close */
	bool is_stored;         /* the first kind */
	char name[PASSED_NAME]; /* the first kind: without the prefix; the second: "" */
};

/*
 * Takes them all over, once, before other descriptors are opened.  Afterwards the descriptors of the
 * second kind are 3 and above, without gaps, and LISTEN_FDS and LISTEN_FDNAMES tell of these alone.
 * Returns how many there are of both kinds.  `ret_passed`: one array, the caller's to free.
 */
unsigned passed_take(struct passed **ret_passed);
