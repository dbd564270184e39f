/* SPDX-License-Identifier: MIT */
/* epoll_wait, poll and select while a gate is closed, in slices. */
#include "shim/wait_slice.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/interest.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/sandbox.h"
#include "shim/scratch.h"
#include "shim/wait.h"
#include "shim/wait_set.h"
#include "shim/wait_signals.h"

#define SHORTEST (WAIT_MILLISECOND / 4)

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* Whole milliseconds, rounded up, for the older calls. */
static int milliseconds(const struct timespec *timeout)
{
	return (int)(timeout->tv_sec * 1000 +
	             (timeout->tv_nsec + WAIT_MILLISECOND - 1) / WAIT_MILLISECOND);
}

/*
 * The length of the next slice: a sixteenth of the time for which the gate has been closed.  So a
 * switch that follows soon is noticed soon, and a long drain costs nothing.  `found`: the findings
 * by which the caller chose its descriptors for this slice.  Newer findings of another thread must
 * not be used: the caller has not put its listeners back into the wait yet.  *ret_last: the
 * daemon's own timeout ends with this slice.
 */
static struct timespec slice(nanoseconds deadline, unsigned found, bool *ret_last)
{
	nanoseconds now = wait_now();
	nanoseconds most = found & WAIT_WARMING ? 10 * WAIT_MILLISECOND : 200 * WAIT_MILLISECOND;
	nanoseconds length = (now - wait_closed_at()) / 16;
	if (length < SHORTEST)
		length = SHORTEST;
	if (length > most)
		length = most;
	nanoseconds left = deadline == WAIT_FOREVER ? WAIT_FOREVER
	                   : deadline > now         ? deadline - now
	                                            : 0;
	if (!(found & WAIT_CLOSED)) /* the gate is open: the rest in one piece */
		length = left;
	*ret_last = left != WAIT_FOREVER && left <= length;
	if (*ret_last)
		length = left;
	if (length == WAIT_FOREVER)
		length = 3600 * WAIT_SECOND;
	return (struct timespec){length / WAIT_SECOND, length % WAIT_SECOND};
}

/* The listener that `fd` is, if its gate is closed; else -1. */
static int closed_listener(int fd, bool borrowed)
{
	int listener = fd < 0 ? -1 : borrowed ? listener_look(fd) : fd_listener(fd);
	return listener >= 0 && wait_is_closed(listener) ? listener : -1;
}

/*
 * Falls back to older calls without epoll_pwait2 (Linux 5.11), and where a filter allows only what
 * the daemon itself calls.
 */
static int epoll_wait_for(int epoll, struct epoll_event *events, int count,
        const struct timespec *timeout, const sigset_t *mask)
{
	if (!sandbox_denies(SYS_epoll_pwait2)) {
		int saved = errno;
		int result = real.epoll_pwait2(epoll, events, count, timeout, mask);
		/*
		 * EPERM: a filter that was there before the daemon's start does not know the call.
		 */
		if (result >= 0 || (errno != ENOSYS && errno != EPERM))
			return result;
		errno = saved;
	}
	if (!mask && sandbox_denies(SYS_epoll_pwait))
		return real.epoll_wait(epoll, events, count, milliseconds(timeout));
	return real.epoll_pwait(epoll, events, count, milliseconds(timeout), mask);
}

static int poll_for(
        struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	return !mask && sandbox_denies(SYS_ppoll) ? real.poll(fds, count, milliseconds(timeout))
	                                          : real.ppoll(fds, count, timeout, mask);
}

int wait_epoll(int epoll, struct epoll_event *events, int count, const struct timespec *timeout,
        const sigset_t *mask)
{
	nanoseconds deadline = wait_deadline(wait_limit(timeout));
	struct held_signals held;
	mask = wait_signals_hold(&held, mask, SYS_epoll_pwait);
	for (;;) {
		unsigned found = wait_findings(); /* a gate may have changed since the last slice */
		interest_mark_waiting();
		bool last;
		struct timespec part = slice(deadline, found, &last);
		int result = epoll_wait_for(epoll, events, count, &part, mask);
		if (result == 0 && !last)
			continue;
		wait_signals_release(&held);
		return result;
	}
}

int wait_poll(struct pollfd *fds, nfds_t count, nanoseconds deadline, const sigset_t *mask)
{
	struct scratch scratch;
	struct pollfd *copy = scratch_take(&scratch, count * sizeof(*fds));
	if (!copy)
		return errno = ENOMEM, -1;
	struct held_signals held;
	mask = wait_signals_hold(&held, mask, SYS_ppoll);
	int result;
	bool last, borrowed = member_is_borrowed();
	do {
		unsigned found = wait_findings(); /* a gate may have changed since the last slice */
		for (nfds_t i = 0; i < count; i++) {
			copy[i] = fds[i];
			int listener = closed_listener(fds[i].fd, borrowed);
			if (listener < 0)
				continue;
			/* A datagram socket may still be waited on for writing. */
			copy[i].events &= POLLOUT;
			if (!copy[i].events || !gate_is_datagram(listener))
				copy[i].fd = -1;
			found |= WAIT_CLOSED;
		}
		struct timespec part = slice(deadline, found, &last);
		result = poll_for(copy, count, &part, mask);
	} while (result == 0 && !last);
	wait_signals_release(&held);
	for (nfds_t i = 0; result >= 0 && i < count; i++)
		fds[i].revents = copy[i].revents;
	scratch_give(&scratch);
	return result;
}

/* Takes the listeners whose gate is closed out of a set.  Were there any? */
static bool set_hide_closed(set_word *words, int count, bool borrowed)
{
	bool any = false;
	for (size_t w = 0; w < set_words(count); w++)
		for (set_word bits = words[w]; bits; bits &= bits - 1) {
			int fd = (int)(w * SET_WORD_BITS) + __builtin_ctzl(bits);
			if (fd >= count || closed_listener(fd, borrowed) < 0)
				continue;
			words[w] &= ~(bits & -bits);
			any = true;
		}
	return any;
}

static void set_copy(void *to, const void *from, int count)
{
	for (size_t w = 0; w < set_words(count); w++)
		((set_word *)to)[w] = ((const set_word *)from)[w];
}

int wait_select(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        nanoseconds deadline, const sigset_t *mask, struct timespec *ret_left)
{
	fd_set *given[3] = {readable, writable, exceptional};
	fd_set *copy[3] = {NULL, NULL, NULL};
	struct scratch scratch;
	size_t words = count > 0 ? set_words(count) : 0;
	set_word *memory = scratch_take(&scratch, 3 * words * sizeof(set_word));
	if (!memory)
		return errno = ENOMEM, -1;
	for (int i = 0; i < 3; i++)
		if (given[i])
			copy[i] = (fd_set *)(void *)(memory + (size_t)i * words);
	struct held_signals held;
	mask = wait_signals_hold(&held, mask, SYS_pselect6);
	int result;
	bool last, borrowed = member_is_borrowed();
	do {
		unsigned found = wait_findings(); /* a gate may have changed since the last slice */
		for (int i = 0; i < 3; i++)
			if (copy[i])
				set_copy(copy[i], given[i], count > 0 ? count : 0);
		if (copy[0] && count > 0 && set_hide_closed((void *)copy[0], count, borrowed))
			found |= WAIT_CLOSED;
		struct timespec part = slice(deadline, found, &last);
		result = real.pselect(count, copy[0], copy[1], copy[2], &part, mask);
	} while (result == 0 && !last);
	wait_signals_release(&held);
	for (int i = 0; result >= 0 && i < 3; i++)
		if (copy[i])
			set_copy(given[i], copy[i], count > 0 ? count : 0);
	scratch_give(&scratch);
	nanoseconds left = deadline == WAIT_FOREVER ? 0 : deadline - wait_now();
	if (left < 0)
		left = 0;
	*ret_left = (struct timespec){left / WAIT_SECOND, left % WAIT_SECOND};
	return result;
}
