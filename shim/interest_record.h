/* SPDX-License-Identifier: MIT */
/* One record per pair of epoll and descriptor: what the daemon asked for, and what the kernel has. */
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
extern struct interest records[RECORDS];
extern _Atomic uint32_t records_end; /* none at or above is in use */

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

/* What the kernel has, as far as is known: HELD_UNSURE while somebody is at it. */
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

/* To be released, and to be looked at once more: the record may have become another pair's. */
bool record_hold(struct interest *record);
void record_release(struct interest *record);

/* To be released; NULL: there is none. */
struct interest *record_find(int epoll, int fd);

void record_want(struct interest *record, uint32_t events, uint64_t data);

/*
 * A new record of what is wanted and so held, to be released.  NULL: the table is full; the
 * registration then stays as it is in the kernel, through every switch.
 */
struct interest *record_add(
        int epoll, int fd, int listener, uint32_t events, uint64_t data, uint32_t held);
