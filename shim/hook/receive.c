/* SPDX-License-Identifier: MIT */
/*
 * Reads from a datagram socket that is a service, in all their variants; and descriptors that
 * arrive in messages.
 *
 * A read from any other descriptor costs one lookup in the table.
 */
#include <errno.h>
#include <stddef.h>
#include <sys/uio.h>

#include "shim/datagram.h"
#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/hook/interpose.h"
#include "shim/listener.h"
#include "shim/real.h"

/* The datagram listener that `fd` is, or -1. */
static inline int service_of(int fd)
{
	int listener = fd_listener(fd);
	return __builtin_expect(listener >= 0, 0) && gate_is_datagram(listener) ? listener : -1;
}

static ssize_t receive(int listener, int fd, void *data, size_t size, int flags)
{
	return datagram_receive_into(listener, fd, data, size, flags, NULL, NULL);
}

/*
 * Does the table call `fd` a service although `fd` is no socket?  Then a vfork child has put
 * another file under that number, or a call that the shim does not see has closed the socket.
 */
static bool is_mistaken(int fd, ssize_t result, int saved)
{
	if (result >= 0 || errno != ENOTSOCK)
		return false;
	errno = saved;
	fd_set_kind(fd, FD_UNKNOWN);
	return true;
}

INTERPOSE(ssize_t, read, int fd, void *data, size_t size)
{
	int listener = service_of(fd);
	if (listener < 0)
		return real.read(fd, data, size);
	int saved = errno;
	ssize_t result = receive(listener, fd, data, size, 0);
	return is_mistaken(fd, result, saved) ? real.read(fd, data, size) : result;
}

INTERPOSE(ssize_t, readv, int fd, const struct iovec *parts, int count)
{
	int listener = service_of(fd);
	if (listener < 0)
		return real.readv(fd, parts, count);
	struct msghdr message = {
	        .msg_iov = (struct iovec *)(void *)parts, .msg_iovlen = (size_t)count};
	int saved = errno;
	ssize_t result = datagram_receive(listener, fd, &message, 0);
	return is_mistaken(fd, result, saved) ? real.readv(fd, parts, count) : result;
}

INTERPOSE(ssize_t, recv, int fd, void *data, size_t size, int flags)
{
	int listener = service_of(fd);
	return listener < 0 ? real.recv(fd, data, size, flags)
	                    : receive(listener, fd, data, size, flags);
}

INTERPOSE(ssize_t, recvfrom, int fd, void *data, size_t size, int flags, struct sockaddr *address,
        socklen_t *length)
{
	int listener = service_of(fd);
	return listener < 0
	               ? real.recvfrom(fd, data, size, flags, address, length)
	               : datagram_receive_into(listener, fd, data, size, flags, address, length);
}

/* Looks at each descriptor that the message has brought. */
static void learn_received(const struct msghdr *message)
{
	struct msghdr *all = (struct msghdr *)(void *)message;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(all); c; c = CMSG_NXTHDR(all, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = ((unsigned)c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++)
			listener_received(((int *)(void *)CMSG_DATA(c))[i]);
	}
}

INTERPOSE(ssize_t, recvmsg, int fd, struct msghdr *message, int flags)
{
	int listener = service_of(fd);
	if (listener >= 0 && message)
		return datagram_receive(listener, fd, message, flags);
	ssize_t result = real.recvmsg(fd, message, flags);
	if (result >= 0 && member_board && message->msg_control && message->msg_controllen)
		learn_received(message);
	return result;
}

INTERPOSE(int, recvmmsg, int fd, struct mmsghdr *messages, unsigned count, int flags,
        struct timespec *timeout)
{
	int listener = service_of(fd);
	if (listener >= 0 && messages && count)
		return datagram_receive_many(listener, fd, messages, count, flags, timeout);
	int result = real.recvmmsg(fd, messages, count, flags, timeout);
	for (int i = 0; i < result && member_board; i++)
		if (messages[i].msg_hdr.msg_control && messages[i].msg_hdr.msg_controllen)
			learn_received(&messages[i].msg_hdr);
	return result;
}

/* Fortified calls: if the size is wrong, libc's function ends the program. */
INTERPOSE(ssize_t, __read_chk, int fd, void *data, size_t size, size_t room)
{
	return size > room && real.__read_chk ? real.__read_chk(fd, data, size, room)
	                                      : interposed_read(fd, data, size);
}

INTERPOSE(ssize_t, __recv_chk, int fd, void *data, size_t size, size_t room, int flags)
{
	return size > room && real.__recv_chk ? real.__recv_chk(fd, data, size, room, flags)
	                                      : interposed_recv(fd, data, size, flags);
}

INTERPOSE(ssize_t, __recvfrom_chk, int fd, void *data, size_t size, size_t room, int flags,
        struct sockaddr *address, socklen_t *length)
{
	return size > room && real.__recvfrom_chk
	               ? real.__recvfrom_chk(fd, data, size, room, flags, address, length)
	               : interposed_recvfrom(fd, data, size, flags, address, length);
}
