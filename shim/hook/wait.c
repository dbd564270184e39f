/* SPDX-License-Identifier: MIT */
/* epoll, poll and select in all their variants. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/gate.h"
#include "shim/hook/interpose.h"
#include "shim/interest.h"
#include "shim/interest_discover.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/real.h"
#include "shim/wait.h"
#include "shim/wait_slice.h"
#include "shim/wait_time.h"

INTERPOSE(int, epoll_ctl, int epoll, int operation, int fd, struct epoll_event *event)
{
	if (!member_board)
		return real.epoll_ctl(epoll, operation, fd, event);
	if (!atomic_load_explicit(&interest_possible, memory_order_relaxed))
		atomic_store(&interest_possible, 1);
	int listener = listener_if_new(fd) < 0 ? -1 : listener_here(fd);
	if (listener < 0)
		return real.epoll_ctl(epoll, operation, fd, event);
	int result = interest_ctl(epoll, operation, fd, event, listener);
	gate_resettle();
	return result;
}

/* To be called after libc's wait: looks which gates have changed.  Returns `result`. */
static int done(int result)
{
	wait_done();
	return result;
}

/* The same after libc's epoll_wait(). */
static int slept(int epoll, uintptr_t frame, int result)
{
	wait_epoll_done(epoll, frame);
	return result;
}

static const struct timespec *from_milliseconds(int timeout, struct timespec *room)
{
	if (timeout < 0)
		return NULL;
	*room = (struct timespec){timeout / 1000, timeout % 1000 * 1000000L};
	return room;
}

INTERPOSE(int, epoll_wait, int epoll, struct epoll_event *events, int count, int timeout)
{
	if (wait_epoll_is_plain(epoll, GATE_FRAME))
		return slept(epoll, GATE_FRAME, real.epoll_wait(epoll, events, count, timeout));
	struct timespec t;
	return wait_epoll(epoll, events, count, from_milliseconds(timeout, &t), NULL);
}

INTERPOSE(int, epoll_pwait, int epoll, struct epoll_event *events, int count, int timeout,
        const sigset_t *mask)
{
	if (wait_epoll_is_plain(epoll, GATE_FRAME))
		return slept(
		        epoll, GATE_FRAME, real.epoll_pwait(epoll, events, count, timeout, mask));
	struct timespec t;
	return wait_epoll(epoll, events, count, from_milliseconds(timeout, &t), mask);
}

INTERPOSE(int, epoll_pwait2, int epoll, struct epoll_event *events, int count,
        const struct timespec *timeout, const sigset_t *mask)
{
	if (!wait_time_is_right(timeout))
		return real.epoll_pwait2(epoll, events, count, timeout, mask);
	if (wait_epoll_is_plain(epoll, GATE_FRAME))
		return slept(
		        epoll, GATE_FRAME, real.epoll_pwait2(epoll, events, count, timeout, mask));
	return wait_epoll(epoll, events, count, timeout, mask);
}

INTERPOSE(int, poll, struct pollfd *fds, nfds_t count, int timeout)
{
	nanoseconds deadline, limit = timeout < 0 ? WAIT_FOREVER : timeout * INT64_C(1000000);
	if (wait_poll_is_plain(fds, count, limit, &deadline)) {
		int result = done(real.poll(fds, count, timeout));
		if (result <= 0 || (result = wait_poll_hide(fds, count, result, deadline)) ||
		        !timeout)
			return result;
	}
	return wait_poll(fds, count, deadline, NULL);
}

INTERPOSE(int, __poll_chk, struct pollfd *fds, nfds_t count, int timeout, size_t size)
{
	if (size / sizeof(*fds) < count && real.__poll_chk)
		return real.__poll_chk(fds, count, timeout, size); /* ends the process */
	return interposed_poll(fds, count, timeout);
}

INTERPOSE(int, ppoll, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
        const sigset_t *mask)
{
	nanoseconds deadline = WAIT_NEVER_TAKEN;
	if (!wait_time_is_right(timeout) ||
	        wait_poll_is_plain(fds, count, wait_limit(timeout), &deadline)) {
		int result = done(real.ppoll(fds, count, timeout, mask));
		if (result <= 0 || (result = wait_poll_hide(fds, count, result, deadline)))
			return result;
	}
	return wait_poll(fds, count, deadline, mask);
}

INTERPOSE(int, __ppoll_chk, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
        const sigset_t *mask, size_t size)
{
	if (size / sizeof(*fds) < count && real.__ppoll_chk)
		return real.__ppoll_chk(fds, count, timeout, mask, size);
	return interposed_ppoll(fds, count, timeout, mask);
}

struct native_select {
	bool has_mask; /* true: pselect(), false: select() */
	struct timeval *timeout;
	const struct timespec *precise;
	const sigset_t *mask;
};

/*
 * Calls libc's select() or pselect().  True: only listeners of another generation were ready, and
 * the sets are restored for a further wait.  noinline: the copy of the sets is off the stack during
 * that wait.
 */
static __attribute__((noinline)) bool select_goes_on(int count, fd_set *const sets[3],
        const struct native_select *call, nanoseconds deadline, int *ret_result)
{
	struct wait_sets saved;
	bool can_go_on = wait_select_save(count, sets, &saved);
	int result = done(
	        call->has_mask
	                ? real.pselect(count, sets[0], sets[1], sets[2], call->precise, call->mask)
	                : real.select(count, sets[0], sets[1], sets[2], call->timeout));
	if (result > 0 && can_go_on)
		result = wait_select_hide(count, sets[0], result, deadline);
	else
		can_go_on = false;
	*ret_result = result;
	if (!can_go_on || result)
		return false;
	wait_select_restore(count, sets, &saved);
	return true;
}

INTERPOSE(int, select, int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        struct timeval *timeout)
{
	bool wrong = timeout && (timeout->tv_sec < 0 || timeout->tv_usec < 0);
	fd_set *const sets[3] = {readable, writable, exceptional};
	struct timespec t, left;
	int result;
	nanoseconds deadline = WAIT_NEVER_TAKEN;
	if (timeout && !wrong)
		t = (struct timespec){timeout->tv_sec + timeout->tv_usec / 1000000,
		        timeout->tv_usec % 1000000 * 1000};
	if (wrong ||
	        wait_select_is_plain(count, readable, wait_limit(timeout ? &t : NULL), &deadline)) {
		const struct native_select call = {.timeout = timeout};
		if (!select_goes_on(count, sets, &call, deadline, &result))
			return result;
	}
	result = wait_select(count, readable, writable, exceptional, deadline, NULL, &left);
	if (timeout) /* Linux writes the remaining time back */
		*timeout = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
	return result;
}

INTERPOSE(int, pselect, int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        const struct timespec *timeout, const sigset_t *mask)
{
	fd_set *const sets[3] = {readable, writable, exceptional};
	nanoseconds deadline = WAIT_NEVER_TAKEN;
	if (!wait_time_is_right(timeout) ||
	        wait_select_is_plain(count, readable, wait_limit(timeout), &deadline)) {
		const struct native_select call = {true, NULL, timeout, mask};
		int result;
		if (!select_goes_on(count, sets, &call, deadline, &result))
			return result;
	}
	struct timespec left;
	return wait_select(count, readable, writable, exceptional, deadline, mask, &left);
}
