/* SPDX-License-Identifier: MIT */
/*
 * May this process accept from a listener now?
 *
 * The rule: reserve, then look.  gate_enter() adds one to this process's in-flight count, then
 * reads the gate word, both seq_cst; the launcher writes the word, then reads the counts.  So once
 * the launcher has seen DRAINING out and a count of zero, every accept of this generation either
 * had returned or will see DRAINING: none can be late.  The switch itself is argued in
 * helper/switch/switch.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/member.h"
#include "shim/member_slot.h"

static inline const struct moult_gate *gate_of(int listener)
{
	return &member_board->gate[listener];
}

/* What this generation says of the listener. */
static inline struct moult_view *gate_view(int listener)
{
	return &member_tally->view[listener];
}

static inline uint32_t gate_state(int listener)
{
	return atomic_load(&gate_of(listener)->word) & MOULT_GATE_STATE;
}

/* May one accept, or read? NONE: retired, or never ours; then it is not for us to say no. */
static inline bool gate_is_open(uint32_t word)
{
	return (word & MOULT_GATE_STATE) == MOULT_GATE_OPEN ||
	       (word & MOULT_GATE_STATE) == MOULT_GATE_NONE;
}

static inline bool gate_is_datagram(int listener)
{
	uint32_t kind = atomic_load_explicit(&gate_of(listener)->kind, memory_order_relaxed);
	return (kind & MOULT_KIND_MASK) == MOULT_DATAGRAM;
}

/*
 * Raised when this process has one listener more or less: together with the board's sequence it
 * tells a wait whether anything has changed since the last one.
 */
extern _Atomic uint32_t gate_edition;

static inline void gate_resettle(void)
{
	atomic_fetch_add(&gate_edition, 1);
}

/* Somebody waits for connections here: what "serving" readiness looks for. */
static inline void gate_mark_waiting(int listener)
{
	struct moult_view *view = gate_view(listener);
	if (!atomic_load_explicit(&view->waiting, memory_order_relaxed) && !member_is_borrowed())
		atomic_store_explicit(&view->waiting, 1, memory_order_release);
}

/*
 * What a thread has of the gate: at most one reservation, however deep its signal handlers nest,
 * since whatever they accept happens inside the bracket of the outermost one.
 *
 * It is here, and not on the stack of gate_enter's caller, because that caller may never return: a
 * thread cancelled in accept() is unwound, and a signal handler may siglongjmp() out of it (the old
 * way to give accept() a timeout).  The first is seen by the destructor of a thread key, the second
 * at the thread's next gate_enter().  Touched by the thread and its signal handlers alone.
 */
struct gate_thread {
	uintptr_t frame; /* of the function that holds the reservation; 0: none is held */
	struct moult_slot *slot;
	pid_t pid;         /* whose reservation it is: a forked child inherits this struct */
	bool registered;   /* the thread key is set: our destructor will run */
	uintptr_t sleeper; /* frame of the gate_sleep() that has changed the cancel type; 0: none */
	int cancel_type;   /* what it was */
};
extern __thread struct gate_thread gate_thread;

/* Makes the thread key. Once, in the constructor; without threads in the program there is none. */
void gate_start(void);

/*
 * Was the function with frame `older` left by a jump, as seen from `frame`?  And: `ends` is called
 * when this thread ends, whatever it has of the gate.
 */
bool gate_is_abandoned(uintptr_t older, uintptr_t frame);
void gate_watch_thread(void (*ends)(void));

/* The rare ways of gate_enter(): this thread's first one, or something is held. True: go on. */
bool gate_enter_slowly(uintptr_t frame);

#define GATE_FRAME ((uintptr_t)__builtin_frame_address(0))

/*
 * Between the two the launcher will not let the next generation in.  Both are called by one and the
 * same function, whose frame tells its reservation from those of others; a signal between the count
 * and the note of it may leave the count too high, never too low.
 */
static inline __attribute__((always_inline)) void gate_enter(void)
{
	struct gate_thread *mine = &gate_thread;
	bool usual = mine->registered && !mine->frame && !mine->sleeper;
	if (__builtin_expect(!usual, 0) && !gate_enter_slowly(GATE_FRAME))
		return;
	mine->slot = member_slot();
	mine->pid = member_pid();
	atomic_fetch_add(&mine->slot->inflight, 1);
	mine->frame = GATE_FRAME;
}

static inline __attribute__((always_inline)) void gate_leave(void)
{
	struct gate_thread *mine = &gate_thread;
	/* Not ours: that of an accept() we interrupted, or of the process we were forked from. */
	if (mine->frame != GATE_FRAME || mine->pid != member_pid())
		return;
	mine->frame = 0;
	atomic_fetch_sub(&mine->slot->inflight, 1);
}

/*
 * gate_leave() of an accept() that was turned away.  It gives up whatever this thread has: a
 * reservation made higher on the stack is, but for a handler that accepts on top of an accept(), one
 * that a jump has left behind.  (With such a handler the accept() below it may be late by one
 * connection, which its generation then serves.)
 */
void gate_withdraw(void);

/*
 * Sleeps until the gate's word differs from `word` or a signal arrives: 0 or -EINTR.  An untimed
 * futex restarts after a signal handler exactly as accept() does (SA_RESTART), and the thread can
 * be cancelled, as in accept().  `limit_us` >= 0: SO_RCVTIMEO, -ETIMEDOUT.
 */
int gate_sleep(int listener, uint32_t word, int64_t limit_us);
