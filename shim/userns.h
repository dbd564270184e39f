/* SPDX-License-Identifier: MIT */
/* Translates user ids of the parent user namespace into those of this process's namespace. */
#pragma once

#include <stdint.h>

/* The uid that the kernel shows for a user without a uid here (default of kernel.overflowuid). */
enum { USERNS_NOBODY = 65534 };

/*
 * Gets the uid in this user namespace of the user that has the uid `outside` in the parent
 * namespace.  In the initial namespace both uids are the same.  0 or -errno; -ENOENT: the user has
 * no uid here.
 */
int userns_uid(uint32_t outside, uint32_t *ret_uid);
