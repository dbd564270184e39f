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
#include "shim/raw.h"
#include "shim/real.h"

/*
 * One record per pair of epoll and descriptor, from the first EPOLL_CTL_ADD until one of the two is
 * closed; what comes and goes meanwhile is `wanted`.  So all that ever happens to one entry of the
 * kernel meets in one record, and there it is put in order without a lock:
 *
 *   Whoever is about to change the kernel's entry draws a number (act_begin), reads what is right
 *   now, makes the system call, and then looks whether the number is still the last one drawn
 *   (act_end).  If so nobody else has begun since: the entry is as this call left it, or somebody
 *   who began earlier is still under way, and he will find a number that is not his.  If not the
 *   result is in doubt and he goes again, from the reading on.  The last one to finish has therefore
 *   read everything after all others' calls.
 *
 * The daemon's requests first change the record and then act; a gate that changes is followed by a
 * settling.  Examples, T1 settling and T2 the daemon's own thread:
 *
 *   T1 reads "open, wanted"; T2 DELs; T1 ADDs; T1's number is old, he reads "not wanted" and DELs.
 *   The same, but T2 ADDs again before T1 looks: T1 reads "wanted" and leaves the entry alone.  If
 *   T1's ADD came before T2's second one that gets EEXIST from the kernel, sees that somebody is at
 *   work here, and takes the entry over.
 *   T1 reads "closed" and sleeps; the gate opens, T2 ADDs; the gate closes, opens; T1 DELs: his
 *   number is old, though the gate's word is what he had read, and he ADDs.
 *
 * `actors` keeps a record from being given to another pair while somebody works on it: counted
 * first, then looked at (record_hold); the one who wants to reuse it marks it first, then looks at
 * the count.  A child forked in the middle inherits a count that never sinks: it loses one record.
 */
enum { FREE, FILLING, ACTIVE };

/* What we last did to the kernel's entry; the number drawn is in the bits above. */
enum {
	HELD_NOT,
	HELD,
	HELD_SHARED,  /* without the EPOLLEXCLUSIVE that was asked for */
	HELD_UNSURE,  /* somebody is at it */
	HELD_SENDING, /* a datagram socket out of its turn: only for what can be sent */
	HELD_MASK = 7,
	ACT = 8,
};

struct interest {
	_Atomic uint32_t state;
	_Atomic uint32_t actors;
	_Atomic uint32_t act; /* number and HELD_... */
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

static void record_release(struct interest *record)
{
	atomic_fetch_sub(&record->actors, 1);
}

/* To be released; NULL: there is none. */
static struct interest *record_find(int epoll, int fd)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_for(record, epoll, fd))
			continue;
		atomic_fetch_add(&record->actors, 1);
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
	for (uint32_t i = 0; i < RECORDS; i++) {
		struct interest *record = &records[i];
		if (!record_seize(record))
			continue;
		atomic_store(&record->epoll, epoll);
		atomic_store(&record->fd, fd);
		atomic_store(&record->listener, listener);
		atomic_store(&record->owner, member_pid());
		record_want(record, events, data);
		atomic_store(&record->act, held);
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
	return atomic_load(&record->act) & HELD_MASK;
}

/* Returns the number drawn; *ret_held: what was known of the entry before. */
static uint32_t act_begin(struct interest *record, uint32_t *ret_held)
{
	uint32_t before = atomic_load(&record->act), mine;
	do
		mine = ((before & ~(uint32_t)HELD_MASK) + ACT) | HELD_UNSURE;
	while (!atomic_compare_exchange_weak(&record->act, &before, mine));
	*ret_held = before & HELD_MASK;
	return mine;
}

/* True: the entry is now as told. */
static bool act_end(struct interest *record, uint32_t mine, uint32_t is_held)
{
	return atomic_compare_exchange_strong(
	        &record->act, &mine, (mine & ~(uint32_t)HELD_MASK) | is_held);
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
static _Atomic uint8_t left[SLEEPERS]; /* entries that are there for them */

void interest_sleep_begins(int epoll)
{
	if ((unsigned)epoll < SLEEPERS)
		atomic_fetch_add(&sleepers[epoll], 1);
}

void interest_sleep_ends(int epoll)
{
	if ((unsigned)epoll >= SLEEPERS)
		return;
	atomic_fetch_sub(&sleepers[epoll], 1);
	if (atomic_load(&left[epoll]) && atomic_exchange(&left[epoll], 0))
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
	atomic_store(&left[epoll], 1);
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

static bool is_settled(struct interest *record)
{
	uint32_t word = word_of(record);
	uint32_t is = held(record), should = right(record, word, is_left(record, word));
	/*
	 * A plain registration made before the gate was crowded may stay exclusive.  Where none is
	 * wanted and somebody is at it, he will leave none; what else there is, is not of ours.
	 */
	return is == should || (is == HELD && should == HELD_SHARED) ||
	       (is == HELD_UNSURE && !atomic_load(&record->wanted));
}

static bool is_same(const struct epoll_event *a, const struct epoll_event *b)
{
	return a->events == b->events && a->data.u64 == b->data.u64;
}

/*
 * Brings the held record and the kernel together.  `put`: what this thread knows to have put there
 * itself, or NULL.  EEXIST and ENOENT mean that somebody else has done it already: another thread,
 * or another process of an epoll shared by fork.
 */
static void settle(struct interest *record, const struct epoll_event *put)
{
	struct epoll_event there = {0};
	if (put)
		there = *put;
	bool known = put;
	for (;;) {
		uint32_t before, mine = act_begin(record, &before);
		if (!is_active(record))
			return; /* closed: the number may be another's by now */
		uint32_t word = word_of(record);
		bool leave = is_left(record, word);
		uint32_t should = right(record, word, leave);
		struct epoll_event event = wanted(record, word, leave);
		bool replace =
		        should != HELD_NOT && before != should &&
		        (before == HELD_SENDING || (should == HELD_SENDING && before != HELD_NOT) ||
		                (before == HELD_SHARED && is_exclusive(record)));
		if ((should == HELD_NOT && before != HELD_NOT) || replace) {
			kernel_ctl(record, EPOLL_CTL_DEL, &event);
			before = HELD_NOT;
			known = false;
		}
		if (should != HELD_NOT) {
			bool absent = before == HELD_NOT || before == HELD_UNSURE;
			long result = absent ? kernel_ctl(record, EPOLL_CTL_ADD, &event) : -EEXIST;
			if (result == -EEXIST && known && !is_same(&there, &event) &&
			        kernel_ctl(record, EPOLL_CTL_MOD, &event) == -EINVAL) {
				kernel_ctl(record, EPOLL_CTL_DEL, &event); /* exclusive */
				result = kernel_ctl(record, EPOLL_CTL_ADD, &event);
			}
			if (result == 0 || known) {
				there = event;
				known = true;
			}
		}
		struct epoll_event later = wanted(record, word, leave);
		if (act_end(record, mine, should) && is_settled(record) &&
		        (should == HELD_NOT || is_same(&event, &later)))
			return;
	}
}

void interest_settle(void)
{
	for (uint32_t i = 0, end = atomic_load(&records_end); i < end; i++) {
		struct interest *record = &records[i];
		if (!is_active(record) || is_settled(record))
			continue;
		atomic_fetch_add(&record->actors, 1);
		if (is_active(record))
			settle(record, NULL);
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
		settle(record, &mine);
	record_release(record);
	return result;
}

/* Its entry has been deleted, or has left the kernel's list behind our back. */
static int ctl_add_again(struct epoll_event *event, int listener, struct interest *record)
{
	static const struct epoll_event unlike_any;
	int saved = errno;
	uint32_t before, is_held, mine = act_begin(record, &before);
	struct epoll_event first = asked(event, word_of(record), &is_held);
	const struct epoll_event *put = &first;
	int result = real.epoll_ctl(
	        atomic_load(&record->epoll), EPOLL_CTL_ADD, atomic_load(&record->fd), &first);
	if (result < 0) {
		/* What a settling of ours has just put there is no other registration. */
		if (errno != EEXIST || atomic_load(&record->actors) < 2 ||
		        atomic_load(&record->wanted)) {
			act_end(record, mine, before); /* if not, another is at it and decides */
			return result;
		}
		errno = saved;
		put = &unlike_any; /* to be changed */
	}
	atomic_store(&record->listener, listener);
	atomic_store(&record->owner, member_pid());
	record_want(record, event->events, event->data.u64);
	if (!act_end(record, mine, is_held) || result < 0 || !is_settled(record))
		settle(record, put);
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
	uint32_t before, mine = act_begin(record, &before);
	int result = 0;
	uint32_t word = word_of(record);
	bool leave = is_left(record, word);
	uint32_t should = right(record, word, leave);
	struct epoll_event now = wanted(record, word, leave);
	bool has = should != HELD_NOT && before != HELD_NOT;
	if (has) {
		result = real.epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &now);
		if (result < 0 && errno == ENOENT &&
		        (before == HELD_UNSURE || !may_watch(word_of(record)))) {
			errno = saved; /* a settling has it out, or not yet in */
			result = 0;
			has = false;
		}
	}
	bool put = has && result == 0;
	if (!act_end(record, mine, put ? should : before) || !is_settled(record))
		settle(record, put ? &now : NULL);
	return result;
}

static int ctl_del(int epoll, int fd, struct epoll_event *event, struct interest *record)
{
	int saved = errno;
	atomic_store(&record->wanted, 0);
	uint32_t before, mine = act_begin(record, &before);
	int result = real.epoll_ctl(epoll, EPOLL_CTL_DEL, fd, event);
	if (result < 0 && errno == ENOENT) { /* it was out already, for a closed gate */
		errno = saved;
		result = 0;
	}
	if (!act_end(record, mine, HELD_NOT))
		settle(record, NULL);
	return result;
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
	else
		result = real.epoll_ctl(epoll, operation, fd, event);
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
		if (!is_active(record) || atomic_load(&record->fd) != fd)
			continue;
		atomic_fetch_add(&record->actors, 1);
		if (is_active(record) && atomic_load(&record->fd) == fd) {
			if (atomic_load(&record->owner) == member_pid()) {
				atomic_store(&record->wanted, 0);
				settle(record, NULL);
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
		if (!is_active(record) || atomic_load(&record->epoll) != epoll)
			continue;
		atomic_store(&record->state, FREE);
		wait_for_actors(record, 0);
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

static void discover_line(const char *line, int epoll, int fd, int listener, int fresh)
{
	uint64_t target, events, data;
	if (!field(line, "tfd:", 10, &target) || (int)target != fd ||
	        !field(line, "events:", 16, &events) || !field(line, "data:", 16, &data))
		return;
	struct interest *record = record_find(epoll, fd);
	if (record && is_wanted(record)) {
		record_release(record);
		return;
	}
	if (fresh) {
		struct epoll_event none = {0};
		raw(SYS_epoll_ctl, epoll, EPOLL_CTL_DEL, fd, &none);
	}
	if (record) {
		atomic_store(&record->listener, listener);
		record_want(record, (uint32_t)events, data);
	} else
		record = record_add(
		        epoll, fd, listener, (uint32_t)events, data, fresh ? HELD_NOT : HELD);
	if (!record)
		return;
	if (!fresh)
		settle(record, NULL);
	record_release(record);
}

static void discover_epoll(
        long directory, const char *name, int epoll, int fd, int listener, int fresh)
{
	char text[4096];
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
				discover_line(text + start, epoll, fd, listener, fresh);
				start = i + 1;
			}
		kept = end - start < sizeof(text) / 2 ? end - start : 0;
		for (size_t i = 0; i < kept; i++)
			text[i] = text[start + i];
	}
	raw(SYS_close, file);
}

struct entry { /* of getdents64 */
	uint64_t inode;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

void interest_discover(int fd, int listener, int fresh)
{
	if (!atomic_load(&interest_possible))
		return;
	alignas(struct entry) char list[4096];
	long directory =
	        raw(SYS_openat, AT_FDCWD, "/proc/self/fdinfo", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	long count;
	while ((count = raw(SYS_getdents64, directory, list, sizeof(list))) > 0)
		for (long at = 0; at < count;) {
			const struct entry *entry = (const void *)(list + at);
			uint64_t epoll = 0;
			if (entry->name[0] != '.' && field(entry->name, "", 10, &epoll))
				discover_epoll(
				        directory, entry->name, (int)epoll, fd, listener, fresh);
			at += entry->length;
		}
	raw(SYS_close, directory);
}
