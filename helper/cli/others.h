/* SPDX-License-Identifier: MIT */
/*
 * The instances of other users, for root: listening sockets .../moult/NAME.sock in the kernel's list
 * of UNIX sockets of this network namespace.  Anybody may listen on such a path.
 */
#pragma once

#include <stddef.h>

enum { OTHERS_MAX = 1024 };

/* All zero: none.  The paths belong to the struct. */
struct others {
	char *paths[OTHERS_MAX]; /* DIRECTORY/NAME.sock, with a valid name */
	size_t count;
};

void others_deinit(struct others *others);

/* Those outside of `own`, sorted.  If the list cannot be read, none. */
void others_read(const char *own, struct others *others);
