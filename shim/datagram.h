/* SPDX-License-Identifier: MIT */
/*
 * Reading from a datagram socket that generations share: each datagram is read by the one whose gate
 * is open.  The others may still send from it.
 *
 * Out of turn: EAGAIN where the daemon has asked for that, or where a poll had announced something
 * that now is another generation's; else it blocks as for an empty queue.
 */
#pragma once

#include <sys/socket.h>
#include <time.h>

/* As recvmsg(), in all its forms; `listener` is what `fd` is. */
ssize_t datagram_receive(int listener, int fd, struct msghdr *message, int flags);
ssize_t datagram_receive_into(int listener, int fd, void *data, size_t size, int flags,
        struct sockaddr *address, socklen_t *length);
int datagram_receive_many(int listener, int fd, struct mmsghdr *messages, unsigned count, int flags,
        const struct timespec *timeout);
