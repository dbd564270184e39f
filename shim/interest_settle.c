/* SPDX-License-Identifier: MIT */
/* Brings the kernel's entries in line with the records and the gates. */
#include "shim/interest_settle.h"

#include <errno.h>
#include <stddef.h>

#include "shim/gate.h"
#include "shim/interest_sleep.h"
#include "shim/raw.h"

/*
 * One record per pair of epoll and descriptor, from the first EPOLL_CTL_ADD until one of the two is
 * closed; what comes and goes meanwhile is `wanted`.  So all that ever happens to one entry of the
 * kernel meets in one record, and there it is put in order without a lock.
 *
 * `act` says what is being done to the entry: a number, the goal, and what the kernel had before
 * (the base).  Base and goal are the same once the goal is reached.
 *
 *   Whoever changes the kernel's entry reads `act`, then the record and the gate, and so finds the
 *   goal.  If `act` has that goal, the number is used as it is; else a new number is drawn, which
 *   fails if `act` has changed since it was read.  Then the system calls are made.  Then `act`, the
 *   record and the gate are read again.  If the number and the goal are still the same, the entry
 *   is as it should be; else the result is in doubt, and everything is done again.
 *
 * The result is right: the last one to make a system call has read number and goal after it.  If
 * they had changed he would have made another one.
 *
 * Some thread always finishes: a thread starts again only if the goal or the number has changed,
 * and threads with the same goal share a number.  A goal follows from the daemon's request, the
 * gate and the sleepers.  Let none of these change any more.  At most one thread can then still
 * draw a number for an outdated goal: all others who read their `act` before this draw fail to draw
 * and read everything anew.  The next number drawn is for the right goal, no other is drawn after
 * it, and each thread finishes after at most two more rounds, however many threads there are.  So
 * endless rounds need endless changes; each change is a request or a wait that some thread
 * completes, or a step of the launcher.
 *
 * The daemon's requests draw a number of their own, which nobody shares.  A request first changes
 * the record and then acts (an ADD, which the kernel may refuse, acts, changes the record, and then
 * looks again); a gate that changes is followed by a settling.  Examples, T1 settling and T2 the
 * daemon's own thread:
 *
 *   T1 reads "open, wanted"; T2 DELs; T1 ADDs; T1's number is old, and T1 reads "not wanted" and
 *   DELs.  The same, but T2 ADDs again before T1 looks: T1 reads "wanted" and leaves the entry
 *   alone.  If T1's ADD came before T2's second one, T2 gets EEXIST from the kernel, sees that
 *   somebody is at work here, and takes the entry over.
 *   T1 reads "closed" and sleeps; the gate opens, T2 ADDs; the gate closes, opens; T1 DELs: T1's
 *   number is old, though the gate's word is what T1 had read, and T1 ADDs.
 *
 * `actors` keeps a record from being given to another pair while somebody works on it: counted
 * first, then looked at (record_hold); the one who wants to reuse it marks it first, then looks at
 * the count.  A child forked in the middle inherits a count that never sinks: it loses one record.
 *
 * A vfork child holds no record: the records are its parent's, and the numbers in them may be other
 * files in the child.
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
 * Before its turn an entry stays where somebody sleeps who went to sleep before it was there: he
 * does not look at the gate from time to time, and nobody else may be awake to put it back when it
 * opens.  Whoever wakes up has it settled again.
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

/* What the kernel should have of it. */
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
	 * Where none is wanted and somebody is at it, he will leave none; what else there is, is not
	 * of ours.
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

/* Returns the number to act under; *ret_aim was read after `act` was. */
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

/* True: the entry is as `aim` says, and this is what it should be. */
static bool act_end(struct interest *record, uint64_t mine, const struct aim *aim)
{
	uint64_t act = atomic_load(&record->act);
	struct aim now = aim_of(record);
	if (act_number(act) != act_number(mine) || act_goal(act) != aim->goal ||
	        now.goal != aim->goal ||
	        (aim->goal != HELD_NOT && !is_same(&now.event, &aim->event)))
		return false;
	/* Another one with the same number and goal may have said so already. */
	return act_held(act) == aim->goal ||
	       atomic_compare_exchange_strong(
	               &record->act, &act, act_of(act_number(act), aim->goal, aim->goal)) ||
	       (act_number(act) == act_number(mine) && act_held(act) == aim->goal);
}

/* What one thread has put into the kernel itself; `known`: it is there unless others changed it. */
struct put {
	bool known;
	struct epoll_event event;
};

/*
 * Brings the kernel's entry to `aim`.  EEXIST and ENOENT mean that somebody else has done so already:
 * another thread, or another process of an epoll shared by fork.  `doubtful`: this thread has made a
 * call under an older number, and what was known of the entry then is only known of the others'.
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
		if (result == -EINVAL) { /* exclusive */
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
			return; /* closed: the number may be another's by now */
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
