/* SPDX-License-Identifier: MIT */
/*
 * Reading from a datagram socket that generations share.  Only the generation whose gate is open
 * reads datagrams.  The other generations may still send from the socket.
 *
 * While the gate is closed, a read fails with EAGAIN if the daemon asked for a non-blocking read,
 * or if poll announced a datagram that another generation reads now.  Any other read blocks as if
 * the queue were empty.
 */
#pragma once

#include <sys/socket.h>
#include <time.h>

/* Like recvmsg(), recvfrom() and recvmmsg() on `fd`, which is `listener`. */
ssize_t datagram_receive(int listener, int fd, struct msghdr *message, int flags);
ssize_t datagram_receive_into(int listener, int fd, void *data, size_t size, int flags,
        struct sockaddr *address, socklen_t *length);
int datagram_receive_many(int listener, int fd, struct mmsghdr *messages, unsigned count, int flags,
        const struct timespec *timeout);
