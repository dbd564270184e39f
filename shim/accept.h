/* SPDX-License-Identifier: MIT */
/* accept() on a listener that generations share: what it says while the gate is closed. */
#pragma once

#include <sys/socket.h>

/*
 * accept4(), or accept() if `flags` < 0, when it is the generation's turn.  At other times: EAGAIN
 * if the daemon set O_NONBLOCK.  ECONNABORTED if a poll, select or epoll had announced a connection
 * that belongs to another generation now: a single-threaded daemon must not hang in a blocking
 * accept() then.  Otherwise the call blocks, as for an empty queue.
 */
int accept_gated(int listener, int fd, struct sockaddr *address, socklen_t *length, int flags);
