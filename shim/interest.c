/* SPDX-License-Identifier: MIT */
/* Which epoll instances watch a listener of ours: what the daemon asks for. */
#include "shim/interest.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/gate.h"
#include "shim/interest_discover.h"
#include "shim/interest_record.h"
#include "shim/interest_settle.h"
#include "shim/interest_sleep.h"
#include "shim/member.h"
#include "shim/raw.h"
#include "shim/real.h"

void interest_mark_waiting(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (record_is_wanted(&records[i]))
			gate_mark_waiting(atomic_load(&records[i].listener));
}

bool interest_watches(int listener)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (record_is_wanted(&records[i]) && atomic_load(&records[i].listener) == listener)
			return true;
	return false;
}

/*
 * What the kernel is given for the daemon's request while the gate word is `word`.  A process that
 * may not accept never gets an exclusive entry: that entry could swallow the wake-up of the
 * generation that may.
 */
static struct epoll_event asked(const struct epoll_event *event, uint32_t word, uint32_t *ret_held)
{
	struct epoll_event mine = *event;
	bool shared = (mine.events & EPOLLEXCLUSIVE) &&
	              ((word & MOULT_GATE_CROWDED) || !gate_is_open(word));
	if (shared)
		mine.events &= ~(uint32_t)EPOLLEXCLUSIVE;
	*ret_held = shared ? HELD_SHARED : HELD;
	return mine;
}

/*
 * The first ADD.  The kernel is asked also while the gate is closed, so that the kernel reports
 * what is wrong with the request.
 */
static int ctl_add_first(int epoll, int fd, struct epoll_event *event, int listener)
{
	uint32_t is_held;
	struct epoll_event mine = asked(event, atomic_load(&gate_of(listener)->word), &is_held);
	int result = real.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &mine);
	if (result < 0)
		return result;
	struct interest *record =
	        record_add(epoll, fd, listener, event->events, event->data.u64, is_held);
	if (!record)
		return result;
	/*
	 * Threads asleep in this epoll wait for the listener from now on.  They settle its entry
	 * only when they wake up.
	 */
	bool sleeps = interest_has_sleepers(epoll) || interest_discover_sleepers(epoll, fd);
	if (sleeps)
		gate_mark_waiting(listener);
	if ((!sleeps || gate_is_open(record_word(record))) && !record_is_settled(record))
		record_settle(record, true, &mine);
	record_release(record);
	return result;
}

/*
 * An ADD of a pair that has a record: the daemon has deleted the entry, or the entry has left the
 * kernel's list without our knowledge.
 */
static int ctl_add_again(struct epoll_event *event, int listener, struct interest *record)
{
	static const struct epoll_event unlike_any;
	int saved = errno;
	uint64_t before, mine = act_request(record, &before);
	uint32_t is_held;
	struct epoll_event first = asked(event, record_word(record), &is_held);
	const struct epoll_event *put = &first;
	int result = real.epoll_ctl(
	        atomic_load(&record->epoll), EPOLL_CTL_ADD, atomic_load(&record->fd), &first);
	if (result < 0) {
		/*
		 * EEXIST because another thread of ours has just settled the entry is no error: the
		 * daemon has no registration there.
		 */
		if (errno != EEXIST || atomic_load(&record->actors) < 2 ||
		        atomic_load(&record->wanted)) {
			act_refuse(record, mine, before);
			return result;
		}
		errno = saved;
		put = &unlike_any; /* differs from any event: settling changes the entry */
	}
	atomic_store(&record->listener, listener);
	atomic_store(&record->owner, member_pid());
	record_want(record, event->events, event->data.u64);
	if (!act_answer(record, mine, is_held))
		put = &unlike_any; /* another thread has made the entry without knowing this request */
	if (put == &unlike_any || !record_is_settled(record))
		record_settle(record, true, put);
	return 0;
}

static int ctl_add(int epoll, int fd, struct epoll_event *event, int listener)
{
	if (!event)
		return real.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event);
	struct interest *record = record_find(epoll, fd);
	if (!record)
		return ctl_add_first(epoll, fd, event, listener);
	bool is_out = atomic_load(&record->wanted) && record_held(record) == HELD_NOT;
	int result = is_out ? fail(EEXIST) : ctl_add_again(event, listener, record);
	record_release(record);
	return result;
}

static int ctl_mod(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	if (record_is_exclusive(record) || (event->events & EPOLLEXCLUSIVE))
		return fail(EINVAL); /* as the kernel does */
	atomic_store(&record->events, event->events);
	atomic_store(&record->data, event->data.u64);
	int saved = errno;
	uint64_t before, mine = act_request(record, &before);
	uint32_t is_held = act_held(before);
	int result = 0;
	struct aim aim = aim_of(record);
	bool has = aim.goal != HELD_NOT && is_held != HELD_NOT;
	if (has) {
		result = real.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &aim.event);
		if (result < 0 && errno == ENOENT &&
		        (is_held == HELD_UNSURE || !gate_is_open(record_word(record)))) {
			errno = saved; /* a settling thread has removed the entry, or not yet added it */
			result = 0;
			has = false;
		}
	}
	bool put = has && result == 0;
	if (result < 0)
		act_refuse(record, mine, before);
	else if (!put || !act_answer(record, mine, aim.goal) || !record_is_settled(record))
		record_settle(record, true, put ? &aim.event : NULL);
	return result;
}

static int ctl_del(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	int saved = errno;
	atomic_store(&record->wanted, 0);
	uint64_t before, mine = act_request(record, &before);
	int result = real.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event);
	if (result < 0 && errno == ENOENT) { /* out already: the gate is closed */
		errno = saved;
		result = 0;
	}
	/* Another thread may have asked for the entry again meanwhile. */
	if (!act_answer(record, mine, HELD_NOT) || !record_is_settled(record))
		record_settle(record, true, NULL);
	return result;
}

/*
 * Is another thread asking for the entry now, or has one done so?  If not, the entry that the
 * kernel has just changed or deleted does not belong to this record: the epoll has a second number,
 * or another process shares it.  Settling would delete that entry.  An ADD is under way before it
 * is wanted, so the two are read in that order.
 */
static bool is_asked_for(struct interest *record)
{
	return record_held(record) == HELD_UNSURE || record_is_wanted(record);
}

int interest_ctl(int epoll, int operation, int fd, struct epoll_event *event, int listener)
{
	if (operation == EPOLL_CTL_ADD)
		return ctl_add(epoll, fd, event, listener);
	struct interest *record = record_find(epoll, fd);
	int result;
	if (record && record_is_wanted(record) && operation == EPOLL_CTL_MOD && event)
		result = ctl_mod(epoll, fd, event, record);
	else if (record && record_is_wanted(record) && operation == EPOLL_CTL_DEL)
		result = ctl_del(epoll, fd, event, record);
	else {
		result = real.epoll_ctl(epoll, operation, fd, event);
		if (record && result == 0 && is_asked_for(record))
			record_settle(record, true, operation == EPOLL_CTL_MOD ? event : NULL);
	}
	if (record)
		record_release(record);
	return result;
}

/*
 * Waits until no other thread is between its look at the record and its system call: a thread that
 * adds the entry after the number is closed leaves an entry that nobody can remove.  This is not a
 * lock.  The other thread may be the code that this signal handler has interrupted, or may be in
 * the parent process of a fork, so the wait ends after some turns.
 */
static void wait_for_actors(struct interest *record, uint32_t ours)
{
	for (int turns = 0; turns < 100 && atomic_load(&record->actors) > ours; turns++)
		raw(SYS_sched_yield);
}

void interest_drop(int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!record_is_active(record) || atomic_load(&record->fd) != fd ||
		        !record_hold(record))
			continue;
		if (record_is_active(record) && atomic_load(&record->fd) == fd) {
			if (atomic_load(&record->owner) == member_pid()) {
				/*
				 * The entry that this record made is deleted.  If the record has
				 * none in the kernel, an entry there belongs to another process
				 * that shares the epoll.  A thread that adds the entry at this
				 * moment finds its number outdated and deletes the entry again.
				 */
				atomic_store(&record->wanted, 0);
				record_settle(record, false, NULL);
				wait_for_actors(record, 1);
			}
			atomic_store(&record->state, FREE);
		}
		record_release(record);
	}
}

void interest_drop_epoll(int epoll)
{
	interest_sleep_shared(epoll, -1);
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!record_is_active(record) || atomic_load(&record->epoll) != epoll ||
		        !record_hold(record))
			continue;
		if (record_is_active(record) && atomic_load(&record->epoll) == epoll) {
			atomic_store(&record->state, FREE);
			wait_for_actors(record, 1);
		}
		record_release(record);
	}
}
