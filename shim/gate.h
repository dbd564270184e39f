/* SPDX-License-Identifier: MIT */
/*
 * May this process accept from a listener now?
 *
 * The rule: reserve, then look.  gate_enter() adds one to this process's in-flight count, then
 * reads the gate word, both seq_cst; the launcher writes the word, then reads the counts.  So once
 * the launcher has seen DRAINING out and a count of zero, every accept of this generation either
 * had returned or will see DRAINING: none can be late.  The switch itself is argued in
 * helper/switch.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "shim/member.h"

static inline struct moult_gate *gate_of(int listener)
{
	return &member_page->gate[listener];
}

static inline uint32_t gate_state(int listener)
{
	return atomic_load(&gate_of(listener)->word) & MOULT_GATE_STATE;
}

/*
 * Raised when this process has one listener more or less: together with the page's sequence it
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
	struct moult_gate *gate = gate_of(listener);
	if (!atomic_load_explicit(&gate->waiting, memory_order_relaxed))
		atomic_store_explicit(&gate->waiting, 1, memory_order_release);
}

/* Between the two the launcher will not let the next generation in. */
static inline struct moult_slot *gate_enter(void)
{
	struct moult_slot *slot = member_slot();
	atomic_fetch_add(&slot->inflight, 1);
	return slot;
}

static inline void gate_leave(struct moult_slot *slot)
{
	atomic_fetch_sub(&slot->inflight, 1);
}

/*
 * Sleeps until the gate's word differs from `word` or a signal arrives: 0 or -EINTR.  An untimed
 * futex restarts after a signal handler exactly as accept() does (SA_RESTART), and the thread can
 * be cancelled, as in accept().  `limit_us` >= 0: SO_RCVTIMEO, -ETIMEDOUT.
 */
int gate_sleep(int listener, uint32_t word, int64_t limit_us);
