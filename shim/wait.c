/* SPDX-License-Identifier: MIT */
/* epoll_wait, poll and select of a process that has listeners: may a wait go straight to libc? */
#include "shim/wait.h"

#include <stdatomic.h>
#include <stddef.h>

#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/interest.h"
#include "shim/interest_settle.h"
#include "shim/interest_sleep.h"
#include "shim/listener.h"
#include "shim/member.h"
#include "shim/wait_set.h"
#include "shim/wait_signals.h"

/*
 * What the last settling saw: gate_edition plus the board's sequence, and below these two bits of
 * findings, in one word.  Several threads may settle at the same time.  A slow one writes an old
 * number with its old findings, and the next wait sees that the number is old.  If number and
 * findings were two words, old findings could stay beside the new number, and a wait would sleep
 * through the opening of a gate.
 */
enum { FINDING = WAIT_CLOSED | WAIT_WARMING };
static _Atomic uint64_t settled;
static _Atomic uint32_t marked;   /* the number at the last interest_mark_waiting() */
static _Atomic int64_t closed_at; /* when a gate was last found closed */

static uint32_t state_now(void)
{
	return atomic_load_explicit(&gate_edition, memory_order_relaxed) +
	       atomic_load_explicit(&member_board->sequence, memory_order_acquire);
}

/*
 * Returns the findings.  A vfork child does not store them, since its memory is its parent's, and
 * so looks again at each wait.
 */
static unsigned settle(uint32_t now)
{
	bool borrowed = member_is_borrowed();
	if (!borrowed)
		interest_settle();
	bool any_closed = false, any_warming = false;
	uint32_t count = atomic_load(&member_board->listeners);
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++) {
		if (!fd_count((int)i) || !wait_is_closed((int)i))
			continue;
		any_closed = true;
		any_warming |= gate_state((int)i) == MOULT_GATE_WARMING;
	}
	unsigned found = (any_closed ? WAIT_CLOSED : 0) | (any_warming ? WAIT_WARMING : 0);
	if (borrowed)
		return found;
	if (any_closed) {
		atomic_store(&closed_at, wait_now());
		wait_signals_look();
	}
	atomic_store(&settled, (uint64_t)now << 2 | found);
	return found;
}

/* The findings that are true now.  First settles, if something may have changed. */
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

unsigned wait_findings(void)
{
	return findings();
}

nanoseconds wait_closed_at(void)
{
	return atomic_load(&closed_at);
}

int wait_is_plain(void)
{
	if (!member_board || !listener_known())
		return 1;
	listener_wait_begun();
	return !(findings() & WAIT_CLOSED);
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

/*
 * The thread counts itself as asleep first, and then looks at the gates.  A thread that adds a
 * listener does the two in the other order.
 */
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

/* One descriptor of a poll or select.  True if it is a listener; an epoll may watch some. */
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
 * A plain wait may come back with a connection that belongs to another generation.  The wait then
 * goes on for the rest of its limit (wait_poll_hide()), which takes a deadline.  Only waits for a
 * listener need one: all others do not read the clock.
 */
static nanoseconds deadline_of(nanoseconds limit, bool plain, bool has_listener)
{
	if (plain && !has_listener && limit && limit != WAIT_FOREVER)
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

int wait_select_is_plain(
        int count, const fd_set *readable, nanoseconds limit, nanoseconds *ret_deadline)
{
	int plain = wait_is_plain();
	bool any = false, none = !member_board || !listener_known() || !readable || count <= 0;
	const set_word *words = (const void *)readable;
	for (size_t w = 0; !none && w < set_words(count); w++)
		for (set_word bits = words[w]; bits; bits &= bits - 1) {
			int fd = (int)(w * SET_WORD_BITS) + __builtin_ctzl(bits);
			if (fd < count)
				any |= note_waited_for(fd);
		}
	*ret_deadline = deadline_of(limit, plain, any);
	return plain;
}

/*
 * Is `fd` a listener that another generation accepts from now?  If poll or select reported such a
 * listener, a blocking read would have no error to return that programs expect: after EAGAIN they
 * end, and with them their other clients.  accept() has ECONNABORTED, but not all programs wait
 * again before the next accept(), which would block, and some log or count the failure.
 */
static bool is_anothers(int fd)
{
	int listener = fd_listener(fd);
	return listener >= 0 && wait_is_closed(listener);
}

static bool may_hide(int result, nanoseconds deadline)
{
	return result > 0 && deadline != WAIT_NEVER_TAKEN && member_board && listener_known() &&
	       (findings() & WAIT_CLOSED);
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
			int fd = (int)(w * SET_WORD_BITS) + __builtin_ctzl(bits);
			if (fd >= count || !is_anothers(fd))
				continue;
			words[w] &= ~(bits & -bits);
			result--;
		}
	return result;
}

int wait_select_save(int count, fd_set *const sets[3], struct wait_sets *ret)
{
	enum { MOST = 16 * SET_WORD_BITS };
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
