/* SPDX-License-Identifier: MIT */
/*
 * The switch, and why no connection is lost or late.
 *
 * Each listener moves by itself: to the current generation when that has taken it up and waits on
 * it, and not before.  A version that loads for seconds after its first bind(), or binds its second
 * port when the first has served for a while, makes no client wait: the earlier generation goes on
 * accepting where the current one does not yet.  So one switch may be followed by several short ones,
 * and helper/switch/moves.h says when.  What moves is decided once per switch, at its beginning.
 *
 * All generations share one socket, hence one queue; nothing in the queue ever moves.  What changes
 * is who may call accept() on it or, for datagrams, read from it: what is said of accept() here is
 * true of recvmsg() as well.  Three words decide, all read and written seq_cst:
 *
 *   gate.word       per generation and listener; written by the launcher (gate_set() and
 *                   generation_take()), read by the shim of that generation before every accept.
 *                   While the launcher is dead or stopped, the keepers write it (helper/process/keeper.h)
 *   slot.inflight   per process; written by the shim around "read the gate, accept", read here
 *   board.sequence  per generation; written after any change of words, read by the shim before and
 *                   after every wait
 *
 * Order here:  (1) word := DRAINING in the one generation that has it open, sequence + 1
 *              (2) wait until the sum of inflight over its live processes is zero
 *                  words of what stays there := as they were
 *              (3) options and O_NONBLOCK of the shared socket := what the next one wants
 *              (4) word := OPEN in the next, wake, sequence + 1
 * Order there: inflight + 1; read word; OPEN: accept; inflight - 1.
 *
 * In (1) that generation's gates close for all its listeners, also for those that stay: the count in
 * (2) is a process's, and an accept blocked on one that stays would hold it up.  They are open again
 * before (3).  A gate that is closed and opened only keeps accepts away for a moment, so the
 * argument for the listeners that move is not touched by it.
 *
 * No late accept.  Take an accept of the old generation.  Its "inflight + 1" is either before our
 * read of that counter in (2), and then we wait for its return; or after, and then its read of the
 * word is after (1) and sees DRAINING.  (With the read first and the reservation second, one switch
 * in a thousand let an accept through: measured.)  So from (2) on the old generation accepts
 * nothing, and (3) cannot make a native accept of it block or fail.
 *
 * A process that died between +1 and -1 accepts nothing either: counters of dead processes are not
 * counted.  A process blocked inside accept() on an empty queue stays counted; pokes
 * (helper/switch/poke.h) make its accept return, the shim swallows them, looks at the gate again and lets
 * go.  A process that is stopped, or cancelled inside accept, never lets go: after SWITCH_PATIENCE
 * we go on.  If it wakes up and does accept one connection later, that connection is served, by the
 * old generation: late, but not lost.
 *
 * No lost connection.  Between (1) and (4) nobody accepts, for some tens of microseconds:
 * connections wait in the queue.  A connection could be lost to sight only if its wake-up went to a
 * process that may not accept it.
 *   - Waiters without EPOLLEXCLUSIVE (poll, select, epoll) are all woken, in both generations.
 *   - epoll entries that are added re-check the queue, and the next generation's shim adds them when
 *     it sees OPEN; so what was queued before (4) is found.  A process already blocked in accept()
 *     of the next generation waits on the futex of its gate word and is woken by (4), then accepts
 *     natively, which looks at the queue first.
 *   - Exclusive waiters: an old process that still has its EPOLLEXCLUSIVE entry swallows a wake-up
 *     when the next one also waits exclusively (20 of 20 times, measured).  Hence CROWDED: until
 *     the kernel shows no entry of an older generation (helper/switch/crowd.c) the next one registers
 *     without EPOLLEXCLUSIVE; and where it blocks in accept(), pokes wake the old entries one by
 *     one, each of which takes itself out at once.
 *
 * Roll-back is the same act with the roles exchanged: the failed generation's gates close, its
 * in-flight accepts finish or die with it, the earlier one's gates open.  There may be two of those:
 * a listener that an older one had not given away yet goes back to that one, so each goes to the
 * newest generation that has had it open.  Connections that the failed one has accepted end with it,
 * as they would if it had crashed an hour later.
 *
 * Where two generations cannot live at one time (helper/lifecycle/yield.h) much time passes between (2) and
 * (3), and all that was said still holds: from (2) on nobody accepts, and what comes is queued.
 */
#include "helper/switch/switch.h"

#include <sched.h>

#include "helper/state/socket_options.h"
#include "helper/switch/crowd.h"
#include "helper/switch/poke.h"

/* Are there processes of other generations, who may wait on its listeners? */
static bool is_crowded(const struct instance *instance, const struct generation *generation)
{
	return generation->older || instance->newest != generation;
}

static bool accepts(const struct generation *generation, uint32_t i)
{
	return generation->holds[i] && gate_get(generation, i) == MOULT_GATE_OPEN;
}

bool switch_is_due(struct instance *instance, const struct generation *to, uint32_t i)
{
	uint32_t state = gate_get(to, i);
	if (!to->holds[i] || instance_listener(instance, i)->state == LISTENER_GONE ||
	        (state != MOULT_GATE_WARMING && state != MOULT_GATE_DRAINING))
		return false;
	return to->trusted[i] || generation_waits_on(to, i) || !instance_acceptor(instance, i);
}

/* (2). Blocked accepts are poked, as many as there are; the queue's order decides who gets them. */
static nanoseconds wait_for_inflight(struct instance *instance, struct generation *from)
{
	nanoseconds began = now(), next_poke = began + MILLISECOND / 5;
	unsigned left;
	while ((left = generation_inflight(from)) && now() - began < SWITCH_PATIENCE) {
		if (now() < next_poke) {
			sched_yield();
			continue;
		}
		for (uint32_t i = 0; i < instance->store.count; i++) {
			uint32_t state = gate_get(from, i);
			if (!from->holds[i] ||
			        (state != MOULT_GATE_DRAINING && state != MOULT_GATE_WARMING) ||
			        socket_is_nonblock(instance_listener(instance, i)->fd))
				continue;
			for (unsigned n = 0; n < left && n < 64; n++)
				poke_send(instance_listener(instance, i), instance->newest);
		}
		poke_reap(instance->newest);
		next_poke = now() + 2 * MILLISECOND;
	}
	return now() - began;
}

/*
 * Closes all open gates of `from`, also of listeners that stay with it: the in-flight count is the
 * process's, and an accept blocked on one of those would hold up the rest.
 */
static void close_gates(struct instance *instance, struct generation *from)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (accepts(from, i))
			gate_set(from, i, MOULT_GATE_DRAINING);
	generation_tell(from);
}

/* What `from` had open and does not move stays with it, as it was. */
static void reopen_rest(struct instance *instance, struct generation *from, const uint32_t *before,
        const bool *moves)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (before[i] && !moves[i])
			gate_set(from, i, before[i]);
	generation_tell(from);
}

static bool has_some_of(struct instance *instance, const struct generation *from, const bool *moves)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (moves[i] && accepts(from, i))
			return true;
	return false;
}

/* Keepers had it open, and the launcher has it closed. */
static bool is_taken_back(const struct generation *generation, uint32_t i)
{
	uint32_t word = atomic_load(&generation->board->gate[i].word);
	return generation->holds[i] && (word & MOULT_GATE_ORPHANED) &&
	       gate_get(generation, i) != MOULT_GATE_OPEN;
}

/* As of (1) and (2); then O_NONBLOCK as the one that accepts wants it. */
static void assert_once(struct instance *instance)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		bool taken_back = false;
		for (uint32_t i = 0; i < instance->store.count; i++) {
			taken_back |= is_taken_back(g, i);
			if (g->holds[i])
				gate_set(g, i, gate_word(g, i));
		}
		generation_tell(g);
		if (taken_back)
			(void)wait_for_inflight(instance, g);
	}
	for (uint32_t i = 0; i < instance->store.count; i++) {
		const struct listener *listener = instance_listener(instance, i);
		const struct generation *acceptor = instance_acceptor(instance, i);
		if (acceptor && listener->state != LISTENER_GONE)
			socket_set_nonblock(listener->fd, generation_nonblock(acceptor, i));
	}
	crowd_begin(instance); /* looks after the pokes */
}

void switch_assert(struct instance *instance)
{
	while (ledger_was_used())
		assert_once(instance);
}

/* (1) and (2), and the gates of what stays. */
static nanoseconds take_from(struct instance *instance, struct generation *from, const bool *moves)
{
	static uint32_t before[MOULT_LISTENERS];
	for (uint32_t i = 0; i < instance->store.count; i++)
		before[i] = accepts(from, i) ? gate_word(from, i) : 0;
	close_gates(instance, from);
	nanoseconds waited = wait_for_inflight(instance, from);
	reopen_rest(instance, from, before, moves);
	return waited;
}

/*
 * fcntl() in the daemon writes its view, then the flag if the gate is open; we have set the flag,
 * opened the gate, and read the view again: whoever comes second sees the other's write.  A daemon
 * that changes its view all the time may have a wrong flag in the end, but does not hold us up.
 */
static void settle_nonblock(
        const struct listener *listener, const struct generation *to, uint32_t i, bool nonblock)
{
	for (int round = 0; round < 8 && nonblock != generation_nonblock(to, i); round++) {
		nonblock = !nonblock;
		socket_set_nonblock(listener->fd, nonblock);
	}
}

/* (3) and (4). */
static void give_to(struct instance *instance, struct generation *to, const bool *moves)
{
	switch_assert(instance);
	bool crowded = is_crowded(instance, to);
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct listener *listener = instance_listener(instance, i);
		if (!moves[i])
			continue;
		bool nonblock = generation_nonblock(to, i);
		listener_prepare(listener, nonblock);
		listener->owner = to->id;
		to->trusted[i] = true;
		gate_set(to, i, MOULT_GATE_OPEN | (crowded ? MOULT_GATE_CROWDED : 0));
		settle_nonblock(listener, to, i, nonblock);
	}
	generation_tell(to);
	if (crowded)
		crowd_begin(instance);
}

nanoseconds switch_to(struct instance *instance, struct generation *to)
{
	static bool moves[MOULT_LISTENERS];
	nanoseconds waited = 0;
	/*
	 * Which ones is decided once: a daemon may begin to wait on one more at any moment, and its
	 * gate must not be opened here beside the one that has stayed open there.
	 */
	for (uint32_t i = 0; i < instance->store.count; i++)
		moves[i] = switch_is_due(instance, to, i);
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g != to && has_some_of(instance, g, moves))
			waited += take_from(instance, g, moves);
	atomic_store(&to->board->serving, 1);
	give_to(instance, to, moves);
	return waited;
}

nanoseconds switch_back(struct instance *instance, struct generation *failed)
{
	static bool moves[MOULT_LISTENERS];
	nanoseconds waited = 0;
	if (failed) {
		close_gates(instance, failed);
		waited = wait_for_inflight(instance, failed);
	}
	for (struct generation *g = instance->newest; g; g = g->older) {
		if (g == failed ||
		        (g->state != GENERATION_CURRENT && g->state != GENERATION_DRAINING))
			continue;
		for (uint32_t i = 0; i < instance->store.count; i++)
			moves[i] = g->trusted[i] && switch_is_due(instance, g, i) &&
			           !instance_acceptor(instance, i);
		give_to(instance, g, moves);
	}
	return waited + switch_to(instance, instance->current);
}

nanoseconds switch_off(struct instance *instance, struct generation *from)
{
	close_gates(instance, from);
	return switch_release(instance, from);
}

nanoseconds switch_release(struct instance *instance, struct generation *from)
{
	nanoseconds waited = wait_for_inflight(instance, from);
	crowd_begin(instance); /* looks after the pokes */
	return waited;
}

/* Has another generation that listener, or one that could not be beside it without us? */
static bool is_known(
        struct instance *instance, const struct generation *generation, uint32_t listener)
{
	const struct identity *identity = &instance_listener(instance, listener)->identity;
	for (const struct generation *g = instance->newest; g; g = g->older)
		for (uint32_t i = 0; i < instance->store.count && g != generation; i++)
			if (g->holds[i] &&
			        (i == listener ||
			                identity_overlaps(&instance_listener(instance, i)->identity,
			                        identity)))
				return true;
	return false;
}

uint32_t switch_first_word(
        struct instance *instance, const struct generation *generation, uint32_t listener)
{
	struct generation *acceptor = instance_acceptor(instance, listener);
	bool alone = !acceptor || acceptor == generation;
	/*
	 * Beside a serving generation the next one waits for its turn where others have been, and
	 * everywhere if nobody serves.  But an address that is its own alone may be how its services
	 * reach each other, and they may have to before one of them serves clients; and a port that
	 * the kernel has chosen nobody else knows.
	 */
	bool early = generation->state == GENERATION_NEXT &&
	             !instance_listener(instance, listener)->ephemeral &&
	             (generation->awaits_turn ||
	                     (instance->current && is_known(instance, generation, listener)));
	if (generation->state != GENERATION_NEXT && generation->state != GENERATION_CURRENT)
		return MOULT_GATE_DRAINING;
	if (!alone || early)
		return MOULT_GATE_WARMING;
	return MOULT_GATE_OPEN | (is_crowded(instance, generation) ? MOULT_GATE_CROWDED : 0);
}
