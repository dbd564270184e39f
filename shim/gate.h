/* SPDX-License-Identifier: MIT */
/*
 * May this process accept from a listener now?
 *
 * Reserve first, then look: gate_enter() adds one to this process's in-flight count, and then the
 * gate word is read, both seq_cst.  The launcher writes the word, and then reads the counts.  So
 * after the launcher has written DRAINING and has read a count of zero, every accept of this
 * generation has either returned, or sees DRAINING.  None is late.  The whole argument is in
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

/*
 * May one accept, or read?  NONE: not a listener of this generation, so the library does not
 * interfere.
 */
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
 * Raised when this process has one listener more or less.  This number and the board's sequence
 * tell a wait whether anything has changed since the last one.
 */
extern _Atomic uint32_t gate_edition;

static inline void gate_resettle(void)
{
	atomic_fetch_add(&gate_edition, 1);
}

/* Notes that this process waits for connections: the readiness "serving" looks for that. */
static inline void gate_mark_waiting(int listener)
{
	struct moult_view *view = gate_view(listener);
	if (!atomic_load_explicit(&view->waiting, memory_order_relaxed) && !member_is_borrowed())
		atomic_store_explicit(&view->waiting, 1, memory_order_release);
}

/*
 * A thread's reservation of the gate.  A thread has at most one, however deep its signal handlers
 * nest: what a handler accepts happens within the outermost reservation.
 *
 * The reservation is not on the stack of gate_enter()'s caller, because that function may never
 * return.  A thread that is cancelled in accept() is unwound; the destructor of a thread key
 * notices.  A signal handler may siglongjmp() out of accept() (the old way to give accept() a
 * timeout); the thread's next gate_enter() notices.  Only the thread and its signal handlers touch
 * this struct.
 */
struct gate_thread {
	uintptr_t frame; /* of the function that holds the reservation; 0: none */
	struct moult_slot *slot;
	pid_t pid;         /* whose reservation it is: a forked child inherits this struct */
	bool registered;   /* the thread key is set, so the destructor will run */
	uintptr_t sleeper; /* frame of the gate_sleep() that changed the cancel type; 0: none */
	int cancel_type;   /* the cancel type before */
};
extern __thread struct gate_thread gate_thread;

/* Makes the thread key.  Called once, in the constructor.  A program without threads has no key. */
void gate_start(void);

/*
 * Has the function with frame `older` been left by a jump, as seen from the function with `frame`?
 */
bool gate_is_abandoned(uintptr_t older, uintptr_t frame);

/* `ends` is called when this thread ends, also if the thread holds no reservation. */
void gate_watch_thread(void (*ends)(void));

/*
 * The slow path of gate_enter(): the first call of a thread, or a call while the thread holds
 * something.  False: the reservation of this thread is used as it is.
 */
bool gate_enter_slowly(uintptr_t frame);

#define GATE_FRAME ((uintptr_t)__builtin_frame_address(0))

/*
 * From gate_enter() to gate_leave() the launcher does not let the next generation in.  Both are
 * called by the same function, whose frame tells its reservation from others.  A signal that comes
 * between the count and the note of it may leave the count too high, never too low.
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
	/*
	 * Another function's: of the accept() that this handler has interrupted, or of the parent
	 * process.
	 */
	if (mine->frame != GATE_FRAME || mine->pid != member_pid())
		return;
	mine->frame = 0;
	atomic_fetch_sub(&mine->slot->inflight, 1);
}

/*
 * gate_leave() for an accept() that was turned away.  It releases whatever this thread holds.  A
 * reservation made further up the stack is stale (left by a jump), unless a signal handler calls
 * accept() inside accept().  (In that case the outer accept() may be late by one connection, which
 * its generation then serves.)
 */
void gate_withdraw(void);

/*
 * Sleeps until the gate's word differs from `word` (0), a signal arrives (-EINTR), or `limit_us` >=
 * 0 microseconds have passed (-ETIMEDOUT, for SO_RCVTIMEO).  Without a limit, the futex restarts
 * after a signal handler exactly as accept() does (SA_RESTART).  The thread can be cancelled, as in
 * accept().
 */
int gate_sleep(int listener, uint32_t word, int64_t limit_us);
