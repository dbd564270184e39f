/* SPDX-License-Identifier: MIT */
/* Brings the kernel's epoll entries in line with the records and the gates. */
#include "shim/interest_settle.h"

#include <errno.h>
#include <stddef.h>

#include "shim/gate.h"
#include "shim/interest_sleep.h"
#include "shim/raw.h"

/*
 * `act` of a record says what is being done to the kernel's entry.  It has a number, the goal, and
 * the base: what the kernel had before.  Base and goal are the same once the goal is reached.
 *
 *   A thread that changes the kernel's entry reads `act`, then the record and the gate.  From these it
 *   finds the goal.  If `act` has the same goal, the thread uses the number that is there.  Otherwise
 *   the thread draws a new number; this fails if `act` has changed since it was read.  Then the thread
 *   makes the system calls.  Then it reads `act`, the record and the gate again.  If number and goal
 *   are still the same, the entry is as it should be.  Otherwise the result is in doubt, and the
 *   thread does everything again.
 *
 * The result is right: the thread that made the last system call has read number and goal after
 * that call.  If they had changed, it would have made another one.
 *
 * Some thread always finishes.  A thread starts again only if the goal or the number has changed,
 * and threads with the same goal share a number.  A goal follows from the daemon's request, the
 * gate and the sleepers.  Suppose that none of these changes any more.  Then at most one thread can
 * still draw a number for an outdated goal: all others that read their `act` before this draw fail
 * to draw, and read everything anew.  The next number drawn is for the right goal, and no other is
 * drawn after it.  Each thread then finishes after at most two more rounds, however many threads
 * there are.  So endless rounds need endless changes, and each change is a request or a wait that
 * some thread completes, or a step of the launcher.
 *
 * A request of the daemon's draws a number that no other thread shares.  A request changes the
 * record first, and then acts.  An ADD, which the kernel may refuse, acts first, then changes the
 * record, and then looks again.  After a gate has changed, the next wait settles.  Examples; T1
 * settles, T2 is the daemon's own thread:
 *
 *   T1 reads "open, wanted"; T2 DELs; T1 ADDs.  T1's number is outdated: T1 reads "not wanted" and
 *   DELs.
 *
 *   The same, but T2 ADDs again before T1 looks.  T1 reads "wanted" and leaves the entry alone.  If
 *   T1's ADD came before T2's second ADD, the kernel tells T2 EEXIST; T2 sees that another thread
 *   works on the record, and takes the entry over.
 *
 *   T1 reads "closed" and is suspended; the gate opens, T2 ADDs; the gate closes and opens again; T1
 *   DELs.  T1's number is outdated, although the gate word is the one that T1 had read: T1 ADDs.
 */

static long kernel_ctl(struct interest *record, int operation, struct epoll_event *event)
{
	return raw(SYS_epoll_ctl, atomic_load(&record->epoll), operation, atomic_load(&record->fd),
	        event);
}

uint64_t act_request(struct interest *record, uint64_t *ret_before)
{
	uint64_t before = atomic_load(&record->act), mine;
	do
		mine = act_of(act_number(before) + 1, HELD_REQUEST, act_held(before));
	while (!atomic_compare_exchange_weak(&record->act, &before, mine));
	*ret_before = before;
	return mine;
}

bool act_answer(struct interest *record, uint64_t mine, uint32_t is_held)
{
	return atomic_compare_exchange_strong(
	        &record->act, &mine, act_of(act_number(mine), is_held, is_held));
}

void act_refuse(struct interest *record, uint64_t mine, uint64_t before)
{
	uint64_t again = act_of(act_number(mine), act_goal(before), act_base(before));
	atomic_compare_exchange_strong(&record->act, &mine, again);
}

enum { READABLE = EPOLLIN | EPOLLPRI | EPOLLRDNORM | EPOLLRDBAND | EPOLLRDHUP };

static bool may_send(struct interest *record)
{
	return (atomic_load(&record->events) & EPOLLOUT) &&
	       gate_is_datagram(atomic_load(&record->listener));
}

/*
 * May the entry stay in the kernel although its gate is not open yet?  Yes if a thread sleeps in a
 * native epoll_wait() there that began before the entry was added.  Such a thread does not look at
 * the gate from time to time, and no other thread may be awake to add the entry when the gate
 * opens.  The thread that wakes up settles the entry again.
 */
static bool is_left(struct interest *record, uint32_t word)
{
	return (word & MOULT_GATE_STATE) == MOULT_GATE_WARMING &&
	       interest_sleep_leaves(atomic_load(&record->epoll));
}

static struct epoll_event wanted(struct interest *record, uint32_t word, bool leave)
{
	struct epoll_event event = {.events = atomic_load(&record->events)};
	event.data.u64 = atomic_load(&record->data);
	if ((word & MOULT_GATE_CROWDED) || leave)
		event.events &= ~(uint32_t)EPOLLEXCLUSIVE;
	if (!gate_is_open(word) && !leave)
		event.events &= ~(uint32_t)READABLE;
	return event;
}

/* What the kernel should have of the entry. */
static uint32_t right(struct interest *record, uint32_t word, bool leave)
{
	if (!atomic_load(&record->wanted))
		return HELD_NOT;
	if (leave)
		return record_is_exclusive(record) ? HELD_SHARED : HELD;
	if (!gate_is_open(word))
		return may_send(record) ? HELD_SENDING : HELD_NOT;
	return record_is_exclusive(record) && (word & MOULT_GATE_CROWDED) ? HELD_SHARED : HELD;
}

/* A plain registration made before the gate was crowded may stay exclusive. */
static bool is_enough(uint32_t is, uint32_t should)
{
	return is == should || (is == HELD && should == HELD_SHARED);
}

bool record_is_settled(struct interest *record)
{
	uint32_t word = record_word(record);
	uint32_t is = record_held(record), should = right(record, word, is_left(record, word));
	/*
	 * The daemon wants no entry, and another thread is changing it: that thread will leave
	 * none.  Any other entry is not this record's.
	 */
	return is_enough(is, should) || (is == HELD_UNSURE && !atomic_load(&record->wanted));
}

static bool is_same(const struct epoll_event *a, const struct epoll_event *b)
{
	return a->events == b->events && a->data.u64 == b->data.u64;
}

struct aim aim_of(struct interest *record)
{
	uint32_t word = record_word(record);
	bool leave = is_left(record, word);
	return (struct aim){right(record, word, leave), wanted(record, word, leave)};
}

/* Returns `act` with the number to act under; *ret_aim was read after `act`. */
static uint64_t act_begin(struct interest *record, struct aim *ret_aim)
{
	for (;;) {
		uint64_t act = atomic_load(&record->act);
		*ret_aim = aim_of(record);
		if (act_goal(act) == ret_aim->goal)
			return act;
		uint64_t mine = act_of(act_number(act) + 1, ret_aim->goal, act_held(act));
		if (atomic_compare_exchange_strong(&record->act, &act, mine))
			return mine;
	}
}

/* True: the entry is as `aim` says, and `aim` is still right. */
static bool act_end(struct interest *record, uint64_t mine, const struct aim *aim)
{
	uint64_t act = atomic_load(&record->act);
	struct aim now = aim_of(record);
	if (act_number(act) != act_number(mine) || act_goal(act) != aim->goal ||
	        now.goal != aim->goal ||
	        (aim->goal != HELD_NOT && !is_same(&now.event, &aim->event)))
		return false;
	/* Another thread with the same number and goal may have written this already. */
	return act_held(act) == aim->goal ||
	       atomic_compare_exchange_strong(
	               &record->act, &act, act_of(act_number(act), aim->goal, aim->goal)) ||
	       (act_number(act) == act_number(mine) && act_held(act) == aim->goal);
}

/*
 * What this thread has put into the kernel.  `known`: the kernel has that event unless another
 * thread has changed it.
 */
struct put {
	bool known;
	struct epoll_event event;
};

/*
 * Brings the kernel's entry to `aim`.  EEXIST and ENOENT mean that another thread, or another
 * process that shares the epoll after a fork, has done so already.  `doubtful`: this thread has
 * made an earlier call, so the kernel may have something else than `base`.
 */
static void act_do(struct interest *record, const struct aim *aim, uint32_t base, bool doubtful,
        struct put *put)
{
	struct epoll_event event = aim->event;
	if (aim->goal == HELD_NOT) {
		if (base != HELD_NOT || doubtful)
			kernel_ctl(record, EPOLL_CTL_DEL, &event);
		put->known = false;
		return;
	}
	bool replace =
	        base != aim->goal &&
	        (base == HELD_SENDING || (base == HELD_SHARED && record_is_exclusive(record)) ||
	                (aim->goal == HELD_SENDING && base != HELD_NOT));
	if (replace) {
		kernel_ctl(record, EPOLL_CTL_DEL, &event);
		base = HELD_NOT;
		put->known = false;
	}
	bool absent = base == HELD_NOT || base == HELD_UNSURE || doubtful;
	bool differs = put->known ? !is_same(&put->event, &event) : base == HELD_UNSURE;
	long result = absent ? kernel_ctl(record, EPOLL_CTL_ADD, &event) : -EEXIST;
	if (result == -EEXIST && differs) {
		result = kernel_ctl(record, EPOLL_CTL_MOD, &event);
		if (result == -EINVAL) { /* the entry is exclusive, and cannot be modified */
			kernel_ctl(record, EPOLL_CTL_DEL, &event);
			result = kernel_ctl(record, EPOLL_CTL_ADD, &event);
		}
	}
	if (result == 0 || put->known)
		*put = (struct put){true, event};
}

void record_settle(struct interest *record, bool doubtful, const struct epoll_event *event)
{
	struct put put = {.known = event};
	if (event)
		put.event = *event;
	for (;; doubtful = true) {
		struct aim aim;
		uint64_t mine = act_begin(record, &aim);
		if (!record_is_active(record))
			return; /* closed: the number may be another file by now */
		if (!doubtful && is_enough(act_held(mine), aim.goal))
			return;
		act_do(record, &aim, act_base(mine), doubtful, &put);
		if (act_end(record, mine, &aim))
			return;
	}
}

void interest_settle(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!record_is_active(record) || record_is_settled(record) || !record_hold(record))
			continue;
		if (record_is_active(record))
			record_settle(record, false, NULL);
		record_release(record);
	}
}
