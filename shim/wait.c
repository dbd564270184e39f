/* SPDX-License-Identifier: MIT */
/* epoll_wait, poll and select of a process that has listeners. */
#include "shim/wait.h"

#include <errno.h>
#include <signal.h>
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

#define FOREVER     WAIT_FOREVER
#define MILLISECOND INT64_C(1000000)
#define SHORTEST    (MILLISECOND / 4)
#define SECOND      INT64_C(1000000000)

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/*
 * What the last settling saw: gate_edition + the board's sequence, and what that means for waits, in
 * one word.  Threads settle at the same time, and one that comes late writes an old number with its
 * old findings: the next wait sees that it is old.  In words of their own its findings could stay
 * beside the new number, and a wait would sleep through the opening of a gate.
 */
enum {
	CLOSED = 1,  /* a listener we have may not be accepted from now */
	WARMING = 2, /* and one of those will be soon */
	FINDING = CLOSED | WARMING,
};
static _Atomic uint64_t settled;
static _Atomic uint32_t marked;   /* the number at the last marking of epoll interests */
static _Atomic int64_t closed_at; /* when a gate was last found closed */

static nanoseconds clock_now(void)
{
	struct timespec t = {0};
	real.clock_gettime(CLOCK_MONOTONIC, &t); /* without the kernel: it may be forbidden */
	return t.tv_sec * SECOND + t.tv_nsec;
}

/* Only a limit that is neither 0 nor none needs the clock. */
nanoseconds wait_deadline(nanoseconds limit)
{
	return limit == FOREVER || !limit ? limit : clock_now() + limit;
}

static uint32_t state_now(void)
{
	return atomic_load_explicit(&gate_edition, memory_order_relaxed) +
	       atomic_load_explicit(&member_board->sequence, memory_order_acquire);
}

/*
 * Signals with a handler that is not shown what it has interrupted, as a mask; libc's own, 32 and 33,
 * are not among them: a thread that is being cancelled waits for its signal on the way out of each
 * cancellation point.
 */
static _Atomic uint64_t blind;

static void look_at_handlers(void)
{
	struct { /* the kernel's sigaction: handler, flags, restorer, mask */
		uintptr_t handler;
		unsigned long flags;
		uint64_t rest[2];
	} action;
	uint64_t found = 0;
	for (int number = 1; number <= 64; number++)
		if (number != 32 && number != 33 &&
		        raw(SYS_rt_sigaction, number, NULL, &action, sizeof(uint64_t)) >= 0 &&
		        action.handler > (uintptr_t)SIG_IGN && !(action.flags & SA_SIGINFO))
			found |= UINT64_C(1) << (number - 1);
	atomic_store(&blind, found);
}

static bool is_closed(int listener)
{
	return !gate_is_open(atomic_load(&gate_of(listener)->word));
}

/* Returns what was found.  A vfork child finds it for itself each time. */
static unsigned settle(uint32_t now)
{
	bool borrowed = member_is_borrowed();
	if (!borrowed)
		interest_settle();
	bool any_closed = false, any_warming = false;
	uint32_t count = atomic_load(&member_board->listeners);
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++) {
		if (!fd_count((int)i) || !is_closed((int)i))
			continue;
		any_closed = true;
		any_warming |= gate_state((int)i) == MOULT_GATE_WARMING;
	}
	unsigned found = (any_closed ? CLOSED : 0) | (any_warming ? WARMING : 0);
	if (borrowed)
		return found;
	if (any_closed) {
		atomic_store(&closed_at, clock_now());
		look_at_handlers();
	}
	atomic_store(&settled, (uint64_t)now << 2 | found);
	return found;
}

/* What is so now; settles first if something may have changed. */
static unsigned findings(void)
{
	for (;;) {
		uint32_t now = state_now();
		uint64_t seen = atomic_load_explicit(&settled, memory_order_acquire);
		if (seen >> 2 == now)
			return seen & FINDING;
		unsigned found = settle(now);
		if (now == state_now())
			return found;
	}
}

int wait_is_plain(void)
{
	if (!member_board || !listener_known())
		return 1;
	listener_wait_begun();
	return !(findings() & CLOSED);
}

void wait_done(void)
{
	if (member_board && listener_known())
		findings();
}

void wait_epoll_done(int epoll, uintptr_t frame)
{
	if (member_board)
		interest_sleep_ends(epoll, frame);
	wait_done();
}

/* Asleep first, then a look at the gates: who adds a listener does it the other way round. */
int wait_epoll_is_plain(int epoll, uintptr_t frame)
{
	if (member_board)
		interest_sleep_begins(epoll, frame);
	int plain = wait_is_plain();
	if (!plain)
		interest_sleep_ends(epoll, frame);
	if (member_board && listener_known()) {
		uint32_t now = state_now();
		if (atomic_load_explicit(&marked, memory_order_relaxed) != now &&
		        !member_is_borrowed()) {
			interest_mark_waiting();
			atomic_store_explicit(&marked, now, memory_order_relaxed);
		}
	}
	return plain;
}

/* One descriptor of a poll or select: a listener, or an epoll that watches some. */
static bool note_waited_for(int fd)
{
	unsigned kind = fd_kind(fd);
	if (fd_kind_listener(kind) >= 0)
		listener_watched(fd_kind_listener(kind));
	else if (kind == FD_EPOLL)
		interest_mark_waiting();
	return fd_kind_listener(kind) >= 0;
}

/*
 * A plain wait may come back with a connection that is another generation's, and goes on then for
 * what is left of its limit (wait_poll_hide).  Only if a listener is waited for: all others do not
 * read the clock.
 */
static nanoseconds deadline_of(nanoseconds limit, bool plain, bool has_listener)
{
	if (plain && !has_listener && limit && limit != FOREVER)
		return WAIT_NEVER_TAKEN;
	return wait_deadline(limit);
}

int wait_poll_is_plain(
        const struct pollfd *fds, nfds_t count, nanoseconds limit, nanoseconds *ret_deadline)
{
	int plain = wait_is_plain();
	bool any = false;
	if (member_board && listener_known())
		for (nfds_t i = 0; i < count; i++)
			if (fds[i].fd >= 0 && (fds[i].events & (POLLIN | POLLRDNORM)))
				any |= note_waited_for(fds[i].fd);
	*ret_deadline = deadline_of(limit, plain, any);
	return plain;
}

/* fd_set is a fixed size in the header and any size in practice: words of the set, all of them. */
typedef unsigned long set_word;
enum { WORD_BITS = 8 * sizeof(set_word) };

static size_t set_words(int count)
{
	return ((size_t)count + WORD_BITS - 1) / WORD_BITS;
}

int wait_select_is_plain(
        int count, const fd_set *readable, nanoseconds limit, nanoseconds *ret_deadline)
{
	int plain = wait_is_plain();
	bool any = false, none = !member_board || !listener_known() || !readable || count <= 0;
	const set_word *words = (const void *)readable;
	for (size_t w = 0; !none && w < set_words(count); w++)
		for (set_word bits = words[w]; bits; bits &= bits - 1) {
			int fd = (int)(w * WORD_BITS) + __builtin_ctzl(bits);
			if (fd < count)
				any |= note_waited_for(fd);
		}
	*ret_deadline = deadline_of(limit, plain, any);
	return plain;
}

/*
 * A blocking read out of turn has no error that programs expect: after EAGAIN they end, and with them
 * their other clients.  accept() has ECONNABORTED, but not all of them wait again before the next
 * accept(), which would block, and some say or count what has failed.
 */
static bool is_anothers(int fd)
{
	int listener = fd_listener(fd);
	return listener >= 0 && is_closed(listener);
}

static bool may_hide(int result, nanoseconds deadline)
{
	return result > 0 && deadline != WAIT_NEVER_TAKEN && member_board && listener_known() &&
	       (findings() & CLOSED);
}

int wait_poll_hide(struct pollfd *fds, nfds_t count, int result, nanoseconds deadline)
{
	if (!may_hide(result, deadline))
		return result;
	for (nfds_t i = 0; i < count; i++) {
		if (!fds[i].revents || fds[i].fd < 0 || !is_anothers(fds[i].fd))
			continue;
		fds[i].revents &= POLLOUT;
		result -= !fds[i].revents;
	}
	return result;
}

int wait_select_hide(int count, fd_set *readable, int result, nanoseconds deadline)
{
	if (!readable || count <= 0 || !may_hide(result, deadline))
		return result;
	set_word *words = (void *)readable;
	for (size_t w = 0; w < set_words(count); w++)
		for (set_word bits = words[w]; bits; bits &= bits - 1) {
			int fd = (int)(w * WORD_BITS) + __builtin_ctzl(bits);
			if (fd >= count || !is_anothers(fd))
				continue;
			words[w] &= ~(bits & -bits);
			result--;
		}
	return result;
}

int wait_select_save(int count, fd_set *const sets[3], struct wait_sets *ret)
{
	enum { MOST = 16 * WORD_BITS };
	if (!member_board || !listener_known() || count <= 0 || count > MOST)
		return 0;
	for (int i = 0; i < 3; i++)
		for (size_t w = 0; sets[i] && w < set_words(count); w++)
			ret->words[i][w] = ((const set_word *)(const void *)sets[i])[w];
	return 1;
}

void wait_select_restore(int count, fd_set *const sets[3], const struct wait_sets *saved)
{
	for (int i = 0; i < 3; i++)
		for (size_t w = 0; sets[i] && w < set_words(count); w++)
			((set_word *)(void *)sets[i])[w] = saved->words[i][w];
}

/* ---- sliced waits ---- */

/*
 * Between two slices no signal is delivered: its handler is to interrupt the wait, which it would
 * miss there.  The kernel puts the daemon's own mask, or that of the call, in place for a slice.
 *
 * But a handler with SA_SIGINFO can see in its third argument what was blocked where it interrupted,
 * and SBCL's end the process if it is what it never is.  A signal of those is held by nobody, and one
 * that comes in the microsecond between two slices is handled there: as if it had come just before
 * the call, which a program that waits without a mask must reckon with.
 */
struct held_signals {
	sigset_t before;
	bool held;
};

/* `call`: which puts the mask in place.  Where it is forbidden, a signal may be missed. */
static const sigset_t *signals_hold(struct held_signals *held, const sigset_t *mask, long call)
{
	const uint64_t all = atomic_load(&blind);
	*held = (struct held_signals){0};
	held->held = !sandbox_denies(call) &&
	             raw(SYS_rt_sigprocmask, SIG_BLOCK, &all, &held->before, sizeof(all)) >= 0;
	return mask || !held->held ? mask : &held->before;
}

static void signals_release(const struct held_signals *held)
{
	if (held->held)
		raw(SYS_rt_sigprocmask, SIG_SETMASK, &held->before, NULL, sizeof(uint64_t));
}

/* Whole milliseconds, rounded up, for the calls that were there first. */
static int milliseconds(const struct timespec *timeout)
{
	return (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + MILLISECOND - 1) / MILLISECOND);
}

/*
 * The next slice: a sixteenth of the time the gate has been closed for, so that a switch that
 * follows soon is seen soon and an idle drain costs nothing.  `found`: what this round goes by; not
 * what another thread may have found since, who has not put our listeners back into this wait.
 * *ret_last: the daemon's own timeout ends it.
 */
static struct timespec slice(nanoseconds deadline, unsigned found, bool *ret_last)
{
	nanoseconds now = clock_now();
	nanoseconds most = found & WARMING ? 10 * MILLISECOND : 200 * MILLISECOND;
	nanoseconds length = (now - atomic_load(&closed_at)) / 16;
	if (length < SHORTEST)
		length = SHORTEST;
	if (length > most)
		length = most;
	nanoseconds left = deadline == FOREVER ? FOREVER : deadline > now ? deadline - now : 0;
	if (!(found & CLOSED)) /* it opened: the rest in one piece */
		length = left;
	*ret_last = left != FOREVER && left <= length;
	if (*ret_last)
		length = left;
	if (length == FOREVER)
		length = 3600 * SECOND;
	return (struct timespec){length / SECOND, length % SECOND};
}

/* The listener that `fd` is and that may not be accepted from now, or -1. */
static int closed_listener(int fd, bool borrowed)
{
	int listener = fd < 0 ? -1 : borrowed ? listener_look(fd) : fd_listener(fd);
	return listener >= 0 && is_closed(listener) ? listener : -1;
}

/* Without epoll_pwait2 (Linux 5.11), or where only what the daemon itself calls is allowed. */
static int epoll_wait_for(int epoll, struct epoll_event *events, int count,
        const struct timespec *timeout, const sigset_t *mask)
{
	if (!sandbox_denies(SYS_epoll_pwait2)) {
		int saved = errno;
		int result = real.epoll_pwait2(epoll, events, count, timeout, mask);
		/* EPERM: a filter we have not seen does not know it. */
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
	mask = signals_hold(&held, mask, SYS_epoll_pwait);
	for (;;) {
		unsigned found = findings(); /* a gate may have changed since the last slice */
		interest_mark_waiting();
		bool last;
		struct timespec part = slice(deadline, found, &last);
		int result = epoll_wait_for(epoll, events, count, &part, mask);
		if (result == 0 && !last)
			continue;
		signals_release(&held);
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
	mask = signals_hold(&held, mask, SYS_ppoll);
	int result;
	bool last, borrowed = member_is_borrowed();
	do {
		unsigned found = findings(); /* a gate may have changed since the last slice */
		for (nfds_t i = 0; i < count; i++) {
			copy[i] = fds[i];
			int listener = closed_listener(fds[i].fd, borrowed);
			if (listener < 0)
				continue;
			/* A datagram socket may still be sent from. */
			copy[i].events &= POLLOUT;
			if (!copy[i].events || !gate_is_datagram(listener))
				copy[i].fd = -1;
			found |= CLOSED;
		}
		struct timespec part = slice(deadline, found, &last);
		result = poll_for(copy, count, &part, mask);
	} while (result == 0 && !last);
	signals_release(&held);
	for (nfds_t i = 0; result >= 0 && i < count; i++)
		fds[i].revents = copy[i].revents;
	scratch_give(&scratch);
	return result;
}

/* The listeners in a set that may not be accepted from are taken out of it. Were there any? */
static bool set_hide_closed(set_word *words, int count, bool borrowed)
{
	bool any = false;
	for (size_t w = 0; w < set_words(count); w++)
		for (set_word bits = words[w]; bits; bits &= bits - 1) {
			int fd = (int)(w * WORD_BITS) + __builtin_ctzl(bits);
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
	mask = signals_hold(&held, mask, SYS_pselect6);
	int result;
	bool last, borrowed = member_is_borrowed();
	do {
		unsigned found = findings(); /* a gate may have changed since the last slice */
		for (int i = 0; i < 3; i++)
			if (copy[i])
				set_copy(copy[i], given[i], count > 0 ? count : 0);
		if (copy[0] && count > 0 && set_hide_closed((void *)copy[0], count, borrowed))
			found |= CLOSED;
		struct timespec part = slice(deadline, found, &last);
		result = real.pselect(count, copy[0], copy[1], copy[2], &part, mask);
	} while (result == 0 && !last);
	signals_release(&held);
	for (int i = 0; result >= 0 && i < 3; i++)
		if (copy[i])
			set_copy(given[i], copy[i], count > 0 ? count : 0);
	scratch_give(&scratch);
	nanoseconds left = deadline == FOREVER ? 0 : deadline - clock_now();
	if (left < 0)
		left = 0;
	*ret_left = (struct timespec){left / SECOND, left % SECOND};
	return result;
}
