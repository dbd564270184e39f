/* SPDX-License-Identifier: MIT */
/* Which epoll instances watch a listener of ours. */
#include "shim/interest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/member.h"
#include "shim/procfs.h"
#include "shim/raw.h"
#include "shim/real.h"

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
enum { FREE, FILLING, ACTIVE };

/* What the kernel has of an entry, or is to have. */
enum {
	HELD_NOT,
	HELD,
	HELD_SHARED,  /* without the EPOLLEXCLUSIVE that was asked for */
	HELD_UNSURE,  /* somebody is at it */
	HELD_SENDING, /* a datagram socket out of its turn: only for what can be sent */
	HELD_REQUEST, /* as a goal: what the daemon's request says, which is nobody else's goal */
	HELD_MASK = 7,
	GOAL_SHIFT = 3, /* the base is in the bits below, the number in those above the goal */
	NUMBER_SHIFT = 6,
};

struct interest {
	_Atomic uint32_t state;
	_Atomic uint32_t actors;
	_Atomic uint64_t act; /* number, goal and base */
	_Atomic uint32_t wanted;
	_Atomic uint32_t events;
	_Atomic uint64_t data;
	_Atomic int epoll;
	_Atomic int fd;
	_Atomic int listener;
	_Atomic pid_t owner; /* the process that added it */
};

enum { RECORDS = 4096 };
static struct interest records[RECORDS];
static _Atomic uint32_t records_end; /* none at or above is in use */

_Atomic int interest_possible;

static bool is_active(struct interest *record)
{
	return atomic_load(&record->state) == ACTIVE;
}

static bool is_wanted(struct interest *record)
{
	return is_active(record) && atomic_load(&record->wanted);
}

static bool is_for(struct interest *record, int epoll, int fd)
{
	return is_active(record) && atomic_load(&record->epoll) == epoll &&
	       atomic_load(&record->fd) == fd;
}

static uint64_t act_of(uint64_t number, uint32_t goal, uint32_t base)
{
	return number << NUMBER_SHIFT | goal << GOAL_SHIFT | base;
}

static uint64_t act_number(uint64_t act)
{
	return act >> NUMBER_SHIFT;
}

static uint32_t act_goal(uint64_t act)
{
	return act >> GOAL_SHIFT & HELD_MASK;
}

static uint32_t act_base(uint64_t act)
{
	return act & HELD_MASK;
}

/* What the kernel has, as far as is known: HELD_UNSURE while somebody is at it. */
static uint32_t act_held(uint64_t act)
{
	return act_goal(act) == act_base(act) ? act_goal(act) : HELD_UNSURE;
}

/* To be released, and to be looked at once more: the record may have become another pair's. */
static bool record_hold(struct interest *record)
{
	if (member_is_borrowed())
		return false;
	atomic_fetch_add(&record->actors, 1);
	return true;
}

static void record_release(struct interest *record)
{
	atomic_fetch_sub(&record->actors, 1);
}

/* To be released; NULL: there is none. */
static struct interest *record_find(int epoll, int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_for(record, epoll, fd) || !record_hold(record))
			continue;
		if (is_for(record, epoll, fd))
			return record;
		record_release(record);
	}
	return NULL;
}

/* One that is in use by nobody, FILLING. */
static bool record_seize(struct interest *record)
{
	uint32_t state = FREE;
	if (!atomic_compare_exchange_strong(&record->state, &state, FILLING))
		return false;
	if (!atomic_load(&record->actors))
		return true;
	atomic_store(&record->state, FREE);
	return false;
}

static void record_want(struct interest *record, uint32_t events, uint64_t data)
{
	atomic_store(&record->events, events);
	atomic_store(&record->data, data);
	atomic_store(&record->wanted, 1);
}

/*
 * A new record of what is wanted and so held, to be released.  NULL: the table is full; the
 * registration then stays as it is in the kernel, through every switch.
 */
static struct interest *record_add(
        int epoll, int fd, int listener, uint32_t events, uint64_t data, uint32_t held)
{
	if (member_is_borrowed())
		return NULL;
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct interest *record = &records[i];
		if (!record_seize(record))
			continue;
		atomic_store(&record->epoll, epoll);
		atomic_store(&record->fd, fd);
		atomic_store(&record->listener, listener);
		atomic_store(&record->owner, member_pid());
		record_want(record, events, data);
		atomic_store(&record->act, act_of(0, held, held));
		atomic_fetch_add(&record->actors, 1);
		atomic_store(&record->state, ACTIVE);
		uint32_t end = atomic_load(&records_end);
		while (end <= i && !atomic_compare_exchange_weak(&records_end, &end, i + 1))
			;
		fd_set_kind(epoll, FD_EPOLL);
		return record;
	}
	return NULL;
}

static long kernel_ctl(struct interest *record, int operation, struct epoll_event *event)
{
	return raw(SYS_epoll_ctl, atomic_load(&record->epoll), operation, atomic_load(&record->fd),
	        event);
}

static uint32_t held(struct interest *record)
{
	return act_held(atomic_load(&record->act));
}

/* A number for a request of the daemon's, which nobody shares; *ret_before: what `act` was. */
static uint64_t act_request(struct interest *record, uint64_t *ret_before)
{
	uint64_t before = atomic_load(&record->act), mine;
	do
		mine = act_of(act_number(before) + 1, HELD_REQUEST, act_held(before));
	while (!atomic_compare_exchange_weak(&record->act, &before, mine));
	*ret_before = before;
	return mine;
}

/* True: nobody has drawn a number since, and the entry is as told. */
static bool act_answer(struct interest *record, uint64_t mine, uint32_t is_held)
{
	return atomic_compare_exchange_strong(
	        &record->act, &mine, act_of(act_number(mine), is_held, is_held));
}

/* The kernel has refused: what was under way goes on under the request's number. */
static void act_refuse(struct interest *record, uint64_t mine, uint64_t before)
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

static bool is_exclusive(struct interest *record)
{
	return atomic_load(&record->events) & EPOLLEXCLUSIVE;
}

/* By number of the epoll; whoever has more of them has them seldom asleep all at once. */
enum { SLEEPERS = 1024 };
static _Atomic uint16_t sleepers[SLEEPERS];
static _Atomic uint8_t left_there[SLEEPERS]; /* entries that are there for them */

/*
 * The outermost wait of this thread, by the frame that it is counted for; 0: none.  One that never comes
 * back (its handler has jumped out of it, or it was that of a vfork child, which has its parent's
 * thread variables, and has been killed) is taken off by the thread's next wait.
 */
static __thread struct {
	uintptr_t frame;
	int epoll;
} asleep;

void interest_sleep_begins(int epoll, uintptr_t frame)
{
	if (__builtin_expect(asleep.frame && gate_is_abandoned(asleep.frame, frame), 0)) {
		asleep.frame = 0;
		atomic_fetch_sub(&sleepers[asleep.epoll], 1);
	}
	if ((unsigned)epoll >= SLEEPERS)
		return;
	atomic_fetch_add(&sleepers[epoll], 1);
	if (asleep.frame)
		return;
	asleep.epoll = epoll;
	atomic_signal_fence(memory_order_seq_cst);
	asleep.frame = frame;
}

void interest_sleep_ends(int epoll, uintptr_t frame)
{
	if ((unsigned)epoll >= SLEEPERS)
		return;
	if (asleep.frame == frame)
		asleep.frame = 0;
	atomic_fetch_sub(&sleepers[epoll], 1);
	if (atomic_load(&left_there[epoll]) && atomic_exchange(&left_there[epoll], 0))
		gate_resettle();
}

static bool has_sleepers(int epoll)
{
	return (unsigned)epoll < SLEEPERS && atomic_load(&sleepers[epoll]);
}

/*
 * Before its turn an entry stays where somebody sleeps who went to sleep before it was there: he
 * does not look at the gate from time to time, and nobody else may be awake to put it back when it
 * opens.  Whoever wakes up has it settled again.
 */
static bool is_left(struct interest *record, uint32_t word)
{
	int epoll = atomic_load(&record->epoll);
	if ((word & MOULT_GATE_STATE) != MOULT_GATE_WARMING || !has_sleepers(epoll))
		return false;
	atomic_store(&left_there[epoll], 1);
	return has_sleepers(epoll);
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

static bool may_watch(uint32_t word)
{
	return gate_is_open(word);
}

static uint32_t word_of(struct interest *record)
{
	return atomic_load(&gate_of(atomic_load(&record->listener))->word);
}

/* What the kernel should have of it. */
static uint32_t right(struct interest *record, uint32_t word, bool leave)
{
	if (!atomic_load(&record->wanted))
		return HELD_NOT;
	if (leave)
		return is_exclusive(record) ? HELD_SHARED : HELD;
	if (!may_watch(word))
		return may_send(record) ? HELD_SENDING : HELD_NOT;
	return is_exclusive(record) && (word & MOULT_GATE_CROWDED) ? HELD_SHARED : HELD;
}

/* A plain registration made before the gate was crowded may stay exclusive. */
static bool is_enough(uint32_t is, uint32_t should)
{
	return is == should || (is == HELD && should == HELD_SHARED);
}

static bool is_settled(struct interest *record)
{
	uint32_t word = word_of(record);
	uint32_t is = held(record), should = right(record, word, is_left(record, word));
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

/* What the kernel should have, as the record and the gate are now. */
struct aim {
	uint32_t goal;
	struct epoll_event event;
};

static struct aim aim_of(struct interest *record)
{
	uint32_t word = word_of(record);
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
	bool replace = base != aim->goal &&
	               (base == HELD_SENDING || (base == HELD_SHARED && is_exclusive(record)) ||
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

/*
 * Brings the held record and the kernel together.  `doubtful`: a call that went past `act` was made
 * before; `event`: what this thread is known to have put there itself, or NULL.
 */
static void settle(struct interest *record, bool doubtful, const struct epoll_event *event)
{
	struct put put = {.known = event};
	if (event)
		put.event = *event;
	for (;; doubtful = true) {
		struct aim aim;
		uint64_t mine = act_begin(record, &aim);
		if (!is_active(record))
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
		if (!is_active(record) || is_settled(record) || !record_hold(record))
			continue;
		if (is_active(record))
			settle(record, false, NULL);
		record_release(record);
	}
}

void interest_mark_waiting(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_wanted(&records[i]))
			gate_mark_waiting(atomic_load(&records[i].listener));
}

bool interest_watches(int listener)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++)
		if (is_wanted(&records[i]) && atomic_load(&records[i].listener) == listener)
			return true;
	return false;
}

static int fail(int error)
{
	errno = error;
	return -1;
}

/*
 * What the kernel gets of the daemon's request while the gate is at `word`.  Never an exclusive
 * entry of one that may not accept: it could swallow the wake-up of the generation that may.
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

/* The kernel says what is wrong with a request, also while the gate is closed. */
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
	/* Who sleeps there waits for it from now on, but sees to its entry only when he is woken. */
	bool sleeps = has_sleepers(epoll);
	if (sleeps)
		gate_mark_waiting(listener);
	if ((!sleeps || gate_is_open(word_of(record))) && !is_settled(record))
		settle(record, true, &mine);
	record_release(record);
	return result;
}

/* Its entry has been deleted, or has left the kernel's list behind our back. */
static int ctl_add_again(struct epoll_event *event, int listener, struct interest *record)
{
	static const struct epoll_event unlike_any;
	int saved = errno;
	uint64_t before, mine = act_request(record, &before);
	uint32_t is_held;
	struct epoll_event first = asked(event, word_of(record), &is_held);
	const struct epoll_event *put = &first;
	int result = real.epoll_ctl(
	        atomic_load(&record->epoll), EPOLL_CTL_ADD, atomic_load(&record->fd), &first);
	if (result < 0) {
		/* What a settling of ours has just put there is no other registration. */
		if (errno != EEXIST || atomic_load(&record->actors) < 2 ||
		        atomic_load(&record->wanted)) {
			act_refuse(record, mine, before);
			return result;
		}
		errno = saved;
		put = &unlike_any; /* to be changed */
	}
	atomic_store(&record->listener, listener);
	atomic_store(&record->owner, member_pid());
	record_want(record, event->events, event->data.u64);
	if (!act_answer(record, mine, is_held))
		put = &unlike_any; /* by one who did not know of this request yet */
	if (put == &unlike_any || !is_settled(record))
		settle(record, true, put);
	return 0;
}

static int ctl_add(int epoll, int fd, struct epoll_event *event, int listener)
{
	if (!event)
		return real.epoll_ctl(epoll, EPOLL_CTL_ADD, fd, event);
	struct interest *record = record_find(epoll, fd);
	if (!record)
		return ctl_add_first(epoll, fd, event, listener);
	bool is_out = atomic_load(&record->wanted) && held(record) == HELD_NOT;
	int result = is_out ? fail(EEXIST) : ctl_add_again(event, listener, record);
	record_release(record);
	return result;
}

static int ctl_mod(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	if (is_exclusive(record) || (event->events & EPOLLEXCLUSIVE))
		return fail(EINVAL); /* as the kernel has it */
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
		        (is_held == HELD_UNSURE || !may_watch(word_of(record)))) {
			errno = saved; /* a settling has it out, or not yet in */
			result = 0;
			has = false;
		}
	}
	bool put = has && result == 0;
	if (result < 0)
		act_refuse(record, mine, before);
	else if (!put || !act_answer(record, mine, aim.goal) || !is_settled(record))
		settle(record, true, put ? &aim.event : NULL);
	return result;
}

static int ctl_del(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	int saved = errno;
	atomic_store(&record->wanted, 0);
	uint64_t before, mine = act_request(record, &before);
	int result = real.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event);
	if (result < 0 && errno == ENOENT) { /* it was out already, for a closed gate */
		errno = saved;
		result = 0;
	}
	/* Another thread may have asked for it again meanwhile. */
	if (!act_answer(record, mine, HELD_NOT) || !is_settled(record))
		settle(record, true, NULL);
	return result;
}

/*
 * Does another thread ask for it just now, or has it done so?  If not, the entry that the kernel has
 * just changed or deleted is none of this record's: the epoll has another number as well, or another
 * process shares it, and a settling would delete their entry.  An ADD is first under way and then
 * wanted, so it is looked for in that order.
 */
static bool is_asked_for(struct interest *record)
{
	return held(record) == HELD_UNSURE || is_wanted(record);
}

int interest_ctl(int epoll, int operation, int fd, struct epoll_event *event, int listener)
{
	if (operation == EPOLL_CTL_ADD)
		return ctl_add(epoll, fd, event, listener);
	struct interest *record = record_find(epoll, fd);
	int result;
	if (record && is_wanted(record) && operation == EPOLL_CTL_MOD && event)
		result = ctl_mod(epoll, fd, event, record);
	else if (record && is_wanted(record) && operation == EPOLL_CTL_DEL)
		result = ctl_del(epoll, fd, event, record);
	else {
		result = real.epoll_ctl(epoll, operation, fd, event);
		if (record && result == 0 && is_asked_for(record))
			settle(record, true, operation == EPOLL_CTL_MOD ? event : NULL);
	}
	if (record)
		record_release(record);
	return result;
}

/*
 * Nobody else should be between a look at the record and the kernel when its number is closed, for
 * what he adds then would be a ghost.  Not a lock: he may be below us, interrupted, or in the
 * process we were forked from, so after some turns we go on.
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
		if (!is_active(record) || atomic_load(&record->fd) != fd || !record_hold(record))
			continue;
		if (is_active(record) && atomic_load(&record->fd) == fd) {
			if (atomic_load(&record->owner) == member_pid()) {
				/*
				 * What this record has put there is deleted; if it has nothing
				 * there, an entry is another process's, which shares the epoll.  A
				 * thread that adds it just now deletes it again: its number is old.
				 */
				atomic_store(&record->wanted, 0);
				settle(record, false, NULL);
				wait_for_actors(record, 1);
			}
			atomic_store(&record->state, FREE);
		}
		record_release(record);
	}
}

void interest_drop_epoll(int epoll)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_active(record) || atomic_load(&record->epoll) != epoll ||
		        !record_hold(record))
			continue;
		if (is_active(record) && atomic_load(&record->epoll) == epoll) {
			atomic_store(&record->state, FREE);
			wait_for_actors(record, 1);
		}
		record_release(record);
	}
}

/* "tfd:        5 events:       19 data: 00000000000000ab ..." : the number after `label`. */
static bool field(const char *line, const char *label, unsigned base, uint64_t *ret)
{
	for (; *line && *line != '\n'; line++) {
		size_t n = 0;
		while (label[n] && line[n] == label[n])
			n++;
		if (label[n])
			continue;
		for (line += n; *line == ' ' || *line == '\t'; line++)
			;
		uint64_t value = 0;
		for (;; line++) {
			unsigned digit = 99;
			if (*line >= '0' && *line <= '9')
				digit = (unsigned)(*line - '0');
			else if (*line >= 'a' && *line <= 'f')
				digit = (unsigned)(*line - 'a') + 10;
			if (digit >= base)
				break;
			value = value * base + digit;
		}
		*ret = value;
		return true;
	}
	return false;
}

/* What is looked for among the registrations of an epoll. */
struct search {
	int fd; /* -1: whatever the table calls a listener */
	int listener;
	bool fresh;
};

static void discover_line(const char *line, int epoll, const struct search *search)
{
	uint64_t target, events, data;
	if (!field(line, "tfd:", 10, &target) || target >= FD_TABLE ||
	        !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data))
		return;
	int fd = (int)target;
	int listener = search->fd < 0 ? fd_listener(fd) : search->listener;
	if ((search->fd >= 0 && fd != search->fd) || listener < 0)
		return;
	struct interest *record = record_find(epoll, fd);
	if (record && is_wanted(record)) {
		record_release(record);
		return;
	}
	if (search->fresh) {
		struct epoll_event none = {0};
		raw(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &none);
	}
	if (record) {
		atomic_store(&record->listener, listener);
		record_want(record, (uint32_t)events, data);
	} else
		record = record_add(epoll, fd, listener, (uint32_t)events, data,
		        search->fresh ? HELD_NOT : HELD);
	if (!record)
		return;
	if (!search->fresh)
		settle(record, true, NULL);
	record_release(record);
}

/* A line of fdinfo has some 120 characters.  Small, for the stack may be a signal handler's. */
enum { TEXT = 192, LIST = 128 };

/* In `directory`, the process's in /proc or one of those in it; `name` begins from there. */
static void discover_epoll(long directory, const char *name, int epoll, const struct search *search)
{
	char text[TEXT];
	long file = raw(SYS_openat, directory, name, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return;
	size_t kept = 0;
	long count;
	while ((count = raw(SYS_read, file, text + kept, sizeof(text) - 1 - kept)) > 0) {
		size_t end = kept + (size_t)count, start = 0;
		text[end] = '\0';
		for (size_t i = 0; i < end; i++)
			if (text[i] == '\n') {
				discover_line(text + start, epoll, search);
				start = i + 1;
			}
		kept = end - start < sizeof(text) - 1 ? end - start : 0;
		for (size_t i = 0; i < kept; i++)
			text[i] = text[start + i];
	}
	raw(SYS_close, file);
}

void interest_rediscover(void)
{
	static const char start[] = "/proc/self/fdinfo/";
	const struct search all = {.fd = -1};
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++) {
		char name[sizeof(start) + PROCFS_DIGITS];
		if (fd_kind(fd) == FD_EPOLL)
			discover_epoll(AT_FDCWD, procfs_name(start, fd, name), fd, &all);
	}
}

/* By its link in /proc/self/fd; where that may not be read it may be one. */
static bool may_be_epoll(long directory, const char *name)
{
	static const char epoll[] = "anon_inode:[eventpoll]";
	char link[sizeof(epoll)];
	long length = raw(SYS_readlinkat, directory, name, link, sizeof(link));
	if (length < 0)
		return length == -EPERM;
	for (size_t i = 0; i < sizeof(epoll) - 1; i++)
		if (length != sizeof(epoll) - 1 || link[i] != epoll[i])
			return false;
	return true;
}

void interest_discover(int fd, int listener, int fresh)
{
	static const char start[] = "../fdinfo/";
	const struct search search = {fd, listener, fresh};
	if (!atomic_load(&interest_possible))
		return;
	alignas(struct procfs_entry) char list[LIST];
	long directory =
	        raw(SYS_openat, AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	long count;
	while ((count = raw(SYS_getdents64, directory, list, sizeof(list))) > 0)
		for (long at = 0; at < count;) {
			const struct procfs_entry *entry = (const void *)(list + at);
			char name[sizeof(start) + PROCFS_DIGITS];
			int epoll = procfs_number(entry->name);
			if (epoll >= 0 && may_be_epoll(directory, entry->name))
				discover_epoll(
				        directory, procfs_name(start, epoll, name), epoll, &search);
			at += entry->length;
		}
	raw(SYS_close, directory);
}
