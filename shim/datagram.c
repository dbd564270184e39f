/* SPDX-License-Identifier: MIT */
/* Reading from a datagram socket that generations share. */
#include "shim/datagram.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "shim/gate.h"
#include "shim/listener.h"
#include "shim/member_slot.h"
#include "shim/poke.h"
#include "shim/raw.h"
#include "shim/real.h"

/*
 * Removes a poke that a read with MSG_PEEK has seen.  If another thread has removed the poke
 * meanwhile, the next datagram is lost.  This is rare: the launcher sends pokes to blocked readers
 * only, and those do not use MSG_PEEK.
 */
static void discard_poke(int fd)
{
	char byte;
	raw(SYS_recvfrom, fd, &byte, sizeof(byte), MSG_DONTWAIT, NULL, NULL);
}

/*
 * Reads once while the gate is open.  The sender's address goes into a buffer of our own, because
 * only the address identifies a poke.  The address is then cut to the daemon's buffer, as the
 * kernel does.  noinline: the buffer is not on the stack while gate_enter() asks the launcher for a
 * slot.
 */
static __attribute__((noinline)) ssize_t read_one(
        int fd, struct msghdr *message, int flags, bool *ret_poke)
{
	struct sockaddr_storage from;
	struct msghdr mine = *message;
	mine.msg_name = &from;
	mine.msg_namelen = sizeof(from);
	ssize_t result = real.recvmsg(fd, &mine, flags);
	*ret_poke = result >= 0 && poke_is_from(&from, mine.msg_namelen);
	if (result < 0 || *ret_poke) {
		if (*ret_poke && (flags & MSG_PEEK))
			discard_poke(fd);
		return result;
	}
	for (socklen_t i = 0; message->msg_name && i < message->msg_namelen && i < mine.msg_namelen;
	        i++)
		((char *)message->msg_name)[i] = ((char *)&from)[i];
	mine.msg_name = message->msg_name;
	if (!message->msg_name)
		mine.msg_namelen = message->msg_namelen;
	*message = mine;
	return result;
}

static void count(int flags)
{
	if (!(flags & (MSG_PEEK | MSG_ERRQUEUE)))
		atomic_fetch_add_explicit(&member_slot()->datagrams, 1, memory_order_relaxed);
}

static bool is_nonblock(int listener)
{
	return atomic_load_explicit(&gate_view(listener)->nonblock, memory_order_relaxed);
}

/* Waits for the gate to open.  0: look at the gate again; else the errno to fail with. */
static int wait_for_turn(int listener, int fd, uint32_t word, bool nonblock)
{
	if (nonblock || listener_was_announced(listener))
		return EAGAIN;
	int slept = gate_sleep(listener, word, listener_receive_timeout(fd));
	return slept == -ETIMEDOUT ? EAGAIN : -slept;
}

ssize_t datagram_receive(int listener, int fd, struct msghdr *message, int flags)
{
	const struct moult_gate *gate = gate_of(listener);
	gate_mark_waiting(listener);
	for (;;) {
		bool nonblock = (flags & MSG_DONTWAIT) || is_nonblock(listener);
		gate_enter();
		uint32_t word = atomic_load(&gate->word);
		/* The error queue is about sent datagrams: it may be read at any time. */
		if (gate_is_open(word) || (flags & MSG_ERRQUEUE) ||
		        listener_is_mistaken(listener, fd)) {
			int saved = errno;
			bool poke;
			if (__builtin_expect(word & MOULT_GATE_ORPHANED, 0))
				listener_take_over(listener, fd);
			ssize_t result = read_one(fd, message, flags, &poke);
			gate_leave();
			if (!poke) {
				if (result >= 0)
					count(flags);
				return result;
			}
			errno = saved;
			if (!nonblock && listener_is_watched(listener))
				return fail(EAGAIN);
			continue;
		}
		gate_leave();
		int error = wait_for_turn(listener, fd, word, nonblock);
		if (error)
			return fail(error);
	}
}

ssize_t datagram_receive_into(int listener, int fd, void *data, size_t size, int flags,
        struct sockaddr *address, socklen_t *length)
{
	struct iovec part = {data, size};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_name = address,
	        .msg_namelen = address && length ? *length : 0};
	ssize_t result = datagram_receive(listener, fd, &message, flags);
	if (result >= 0 && address && length)
		*length = message.msg_namelen;
	return result;
}

static int64_t now(void)
{
	struct timespec t;
	raw(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* May one recvmmsg() read all messages?  Only if each has room for its sender's whole address. */
static bool all_have_names(int listener, const struct mmsghdr *messages, unsigned count)
{
	bool inet = atomic_load(&gate_of(listener)->kind) >> MOULT_PORT_SHIFT;
	socklen_t needed = inet ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_un);
	for (unsigned i = 0; i < count; i++)
		if (!messages[i].msg_hdr.msg_name || messages[i].msg_hdr.msg_namelen < needed)
			return false;
	return true;
}

/*
 * Receives one message at a time.  As in recvmmsg(2), an error after the first message ends the
 * call with success; a lasting error is reported by the next call.
 */
static int receive_each(int listener, int fd, struct mmsghdr *messages, unsigned count, int flags,
        const struct timespec *timeout)
{
	int64_t deadline =
	        timeout ? now() + timeout->tv_sec * INT64_C(1000000000) + timeout->tv_nsec
	                : INT64_MAX;
	int saved = errno;
	unsigned i = 0;
	while (i < count) {
		bool wait = i == 0 || !(flags & MSG_WAITFORONE);
		ssize_t result = datagram_receive(listener, fd, &messages[i].msg_hdr,
		        (flags & ~MSG_WAITFORONE) | (wait ? 0 : MSG_DONTWAIT));
		if (result < 0)
			break;
		messages[i++].msg_len = (unsigned)result;
		/* Checked after each message only, as in the kernel (recvmmsg(2), BUGS). */
		if (deadline != INT64_MAX && now() >= deadline)
			break;
	}
	if (i == 0)
		return -1;
	errno = saved;
	return (int)i;
}

static void copy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((char *)to)[i] = ((const char *)from)[i];
}

/* Moves a datagram into the buffers of an earlier message; MSG_TRUNC if it does not fit. */
static void move_message(struct mmsghdr *to, const struct mmsghdr *from)
{
	size_t left = from->msg_len, at = 0, out = 0, in = 0, moved = 0;
	/* musl has an int and padding where glibc has a size_t */
	unsigned sources = (unsigned)from->msg_hdr.msg_iovlen,
	         targets = (unsigned)to->msg_hdr.msg_iovlen;
	while (left && in < sources && out < targets) {
		const struct iovec *source = &from->msg_hdr.msg_iov[in];
		const struct iovec *target = &to->msg_hdr.msg_iov[out];
		size_t part = source->iov_len - moved;
		if (part > target->iov_len - at)
			part = target->iov_len - at;
		if (part > left)
			part = left;
		copy((char *)target->iov_base + at, (const char *)source->iov_base + moved, part);
		left -= part;
		at += part;
		moved += part;
		if (moved == source->iov_len)
			in++, moved = 0;
		if (at == target->iov_len)
			out++, at = 0;
	}
	to->msg_len = from->msg_len - (unsigned)left;
	to->msg_hdr.msg_flags = from->msg_hdr.msg_flags | (left ? MSG_TRUNC : 0);
	to->msg_hdr.msg_namelen = from->msg_hdr.msg_namelen;
	copy(to->msg_hdr.msg_name, from->msg_hdr.msg_name, from->msg_hdr.msg_namelen);
	to->msg_hdr.msg_controllen = from->msg_hdr.msg_controllen;
	copy(to->msg_hdr.msg_control, from->msg_hdr.msg_control,
	        (unsigned)from->msg_hdr.msg_controllen);
}

/* Removes pokes from a batch.  They are rare there: the launcher pokes blocked readers only. */
static int without_pokes(struct mmsghdr *messages, int count)
{
	int kept = 0;
	for (int i = 0; i < count; i++) {
		if (poke_is_from(messages[i].msg_hdr.msg_name, messages[i].msg_hdr.msg_namelen))
			continue;
		if (kept != i)
			move_message(&messages[kept], &messages[i]);
		kept++;
	}
	return kept;
}

int datagram_receive_many(int listener, int fd, struct mmsghdr *messages, unsigned count, int flags,
        const struct timespec *timeout)
{
	const struct moult_gate *gate = gate_of(listener);
	bool nonblock = (flags & MSG_DONTWAIT) || is_nonblock(listener);
	if (!nonblock || (flags & MSG_PEEK) || !all_have_names(listener, messages, count))
		return receive_each(listener, fd, messages, count, flags, timeout);
	gate_mark_waiting(listener);
	gate_enter();
	uint32_t word = atomic_load(&gate->word);
	if (!gate_is_open(word) && !(flags & MSG_ERRQUEUE) && !listener_is_mistaken(listener, fd)) {
		gate_leave();
		return fail(EAGAIN);
	}
	if (word & MOULT_GATE_ORPHANED)
		listener_take_over(listener, fd);
	int saved = errno;
	int result = real.recvmmsg(fd, messages, count, flags, (struct timespec *)(void *)timeout);
	gate_leave();
	if (result > 0 && atomic_load(&member_board->pokes)) {
		errno = saved;
		result = without_pokes(messages, result);
		if (!result)
			return fail(EAGAIN);
	}
	if (result > 0)
		atomic_fetch_add_explicit(
		        &member_slot()->datagrams, (uint64_t)result, memory_order_relaxed);
	return result;
}
