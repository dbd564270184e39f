/* SPDX-License-Identifier: MIT */
/* What users of the outside are called in this process's user namespace. */
#pragma once

#include <stdint.h>

/* What the kernel says of a user that has no number here (the default of kernel.overflowuid). */
enum { USERNS_NOBODY = 65534 };

/*
 * The uid here of the user that is `outside` in the user namespace above this one.  In the initial
 * namespace each is its own.  0 or -errno; -ENOENT: the user has no number here.
 */
int userns_uid(uint32_t outside, uint32_t *ret_uid);
