/* SPDX-License-Identifier: MIT */
/*
 * One record for each pair of epoll and descriptor: what the daemon asked for, and what the kernel
 * has.
 *
 * A record lives from the first EPOLL_CTL_ADD until one of the two descriptors is closed.  An entry
 * that is deleted and added again meanwhile only changes `wanted`.  So everything that happens to
 * one entry of the kernel meets in one record, which is kept consistent without a lock
 * (shim/interest_settle.c).
 *
 * `actors` keeps a record from being given to another pair while a thread works on it.  The thread
 * counts itself first, then looks at the record (record_hold()).  A thread that wants to reuse the
 * record marks it first, then looks at the count.  A child forked between the two inherits a count
 * that never sinks, and so loses one record.
 *
 * A vfork child holds no record: the records are its parent's, and a number in them may be another
 * file in the child.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "shim/gate.h"

enum { FREE, FILLING, ACTIVE };

/* What the kernel has of an entry, or is to have. */
enum {
	HELD_NOT,
	HELD,
	HELD_SHARED,  /* without the EPOLLEXCLUSIVE that the daemon asked for */
	HELD_UNSURE,  /* a thread is changing the entry */
	HELD_SENDING, /* a datagram socket out of its turn: for writing only */
	HELD_REQUEST, /* as a goal: what the daemon's request says; shared with no other thread */
	HELD_MASK = 7,
	GOAL_SHIFT = 3, /* base: the bits below; number: the bits above the goal */
	NUMBER_SHIFT = 6,
};

struct interest {
	_Atomic uint32_t state;
	_Atomic uint32_t actors;
	_Atomic uint64_t act; /* number, goal and base (shim/interest_settle.c) */
	_Atomic uint32_t wanted;
	_Atomic uint32_t events;
	_Atomic uint64_t data;
	_Atomic int epoll;
	_Atomic int fd;
	_Atomic int listener;
	_Atomic pid_t owner; /* the process that added the entry */
};

enum { RECORDS = 4096 };
extern struct interest records[RECORDS];
extern _Atomic uint32_t records_end; /* no record at or above this index is in use */

static inline bool record_is_active(struct interest *record)
{
	return atomic_load(&record->state) == ACTIVE;
}

static inline bool record_is_wanted(struct interest *record)
{
	return record_is_active(record) && atomic_load(&record->wanted);
}

static inline uint64_t act_of(uint64_t number, uint32_t goal, uint32_t base)
{
	return number << NUMBER_SHIFT | goal << GOAL_SHIFT | base;
}

static inline uint64_t act_number(uint64_t act)
{
	return act >> NUMBER_SHIFT;
}

static inline uint32_t act_goal(uint64_t act)
{
	return act >> GOAL_SHIFT & HELD_MASK;
}

static inline uint32_t act_base(uint64_t act)
{
	return act & HELD_MASK;
}

/* What the kernel has; HELD_UNSURE while a thread is changing the entry. */
static inline uint32_t act_held(uint64_t act)
{
	return act_goal(act) == act_base(act) ? act_goal(act) : HELD_UNSURE;
}

static inline uint32_t record_held(struct interest *record)
{
	return act_held(atomic_load(&record->act));
}

static inline bool record_is_exclusive(struct interest *record)
{
	return atomic_load(&record->events) & EPOLLEXCLUSIVE;
}

static inline uint32_t record_word(struct interest *record)
{
	return atomic_load(&gate_of(atomic_load(&record->listener))->word);
}

/*
 * Counts this thread in `actors`; record_release() takes it off.  The caller looks at the record
 * again afterwards: the record may have become another pair's.  False in a vfork child: nothing is
 * held.
 */
bool record_hold(struct interest *record);
void record_release(struct interest *record);

/* The record of the pair, held; NULL if there is none, and in a vfork child. */
struct interest *record_find(int epoll, int fd);

void record_want(struct interest *record, uint32_t events, uint64_t data);

/*
 * A new record, held, of an entry that is wanted, and of which the kernel has `held`.  NULL if the
 * table is full, and in a vfork child.  The registration then stays in the kernel as it is, through
 * every switch.
 */
struct interest *record_add(
        int epoll, int fd, int listener, uint32_t events, uint64_t data, uint32_t held);
