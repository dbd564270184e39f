/* SPDX-License-Identifier: MIT */
/* A message with descriptors on a UNIX socket (SCM_RIGHTS). */
#pragma once

#include <stddef.h>

enum { MESSAGE_DESCRIPTORS = 3 };

/*
 * Sends `size` bytes and `count` descriptors, MESSAGE_DESCRIPTORS at most, which stay the caller's.
 * `flags`: of sendmsg(); MSG_NOSIGNAL is added.  0 or -errno.
 */
int message_send(int to, const void *data, size_t size, const int *fds, size_t count, int flags);
