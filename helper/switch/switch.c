/* SPDX-License-Identifier: MIT */
/*
 * The switch: how listeners move to another generation, and why no connection is lost or late.
 *
 * All generations share one socket for each listener, and so one queue.  Nothing in the queue ever
 * moves.  A switch only changes which generation may call accept() on the socket.  A datagram
 * socket is read instead: what is said of accept() here is true of recvmsg() as well.
 *
 * Each listener moves by itself: when the current generation has taken it up and waits on it, and
 * not before.  Until then the earlier generation goes on accepting there.  So no client waits for a
 * version that loads for seconds after its first bind(), or that binds its second port when the
 * first has served for a while.  One switch may thus be followed by several short ones
 * (helper/switch/moves.h).  Each switch decides once, at its beginning, which listeners move.
 *
 * ---- Words ----
 *
 * Three words decide who accepts.  Every access to them is seq_cst.
 *
 *   gate.word       One for each generation and listener.  The launcher writes it (gate_set()).
 *                   While the launcher is dead or stopped, the keepers write it
 *                   (helper/process/keeper.h).  The shim of that generation reads it before every
 *                   accept.
 *   slot.inflight   One for each process.  The shim writes it around "read the gate, accept".  The
 *                   launcher reads it.
 *   board.sequence  One for each generation.  Raised after any change of its gate words.  The shim
 *                   reads it before and after every wait.
 *
 * ---- Steps ----
 *
 *   launcher:  (1) In the generation that has the gate open: word := DRAINING, sequence + 1.
 *              (2) Wait until the sum of inflight over its live processes is zero.
 *                  Set the words of its listeners that stay to what they were.
 *              (3) Set options and O_NONBLOCK of the shared socket as the next generation wants.
 *              (4) In the next generation: word := OPEN, wake the sleepers, sequence + 1.
 *   shim:      inflight + 1; read the word; if it is OPEN: accept; inflight - 1.
 *
 *                    (1) close         (2) inflight is 0    (3) options        (4) open
 *                        |                     |                 |                 |
 *   old generation  =====|== only in flight ===|                 |                 |
 *   next generation      |                     |                 |                 |=====
 *   new connections      |---------------- wait in the queue ----------------------|
 *
 * If the listeners that move are open in several generations, (1) and (2) are done for one after
 * the other.
 *
 * (1) closes the gates of all listeners of that generation, also of those that stay.  The count in
 * (2) is a process's, not a listener's: an accept blocked on a listener that stays would hold (2)
 * up.  Those gates are open again before (3).  Closing and opening a gate only keeps accepts away
 * for a moment, so the argument for the listeners that move is not touched.
 *
 * ---- No late accept ----
 *
 * From (2) on the old generation accepts nothing, so (3) cannot make a native accept of it block or
 * fail.  Proof: take any accept of the old generation.  Either its "inflight + 1" is before the
 * launcher's read of that counter in (2); then the launcher waits for the accept to return.  Or it
 * is after; then the shim's read of the word is after (1) and sees DRAINING.  The order in the shim
 * matters: with the read first and the reservation second, one switch in a thousand let an accept
 * through (measured).
 *
 * Some processes never reach the "inflight - 1" by themselves:
 *   - A process that died between + 1 and - 1 accepts nothing.  The counters of dead processes are
 *     not counted.
 *   - A process blocked inside accept() on an empty queue stays counted.  A poke
 *     (helper/switch/poke.h) makes the accept return.  The shim swallows the poke, looks at the
 *     gate again and gives up its reservation.
 *   - A process that is stopped, or cancelled inside accept, keeps its reservation.  The launcher
 *     goes on after SWITCH_PATIENCE.  If the process wakes up later and does accept one connection,
 *     the old generation serves that connection: late, but not lost.
 *
 * ---- No lost connection ----
 *
 * Between (1) and (4), for some tens of microseconds, no gate lets an accept pass and connections
 * wait in the queue.  A connection could then stay there unseen only if its wake-up went to a
 * process that may not accept it.
 *   - Waiters without EPOLLEXCLUSIVE (poll, select, epoll) are all woken, in both generations.
 *   - The kernel checks the queue when an epoll entry is added.  The next generation's shim adds
 *     its entries when it sees OPEN, so it finds whatever was queued before (4).
 *   - A process of the next generation that is already in accept() waits on the futex of its gate
 *     word.  (4) wakes the process.  It then accepts natively, which looks at the queue first.
 *   - Exclusive waiters: an old process that still has its EPOLLEXCLUSIVE entry swallows a wake-up
 *     when the next one also waits exclusively (20 of 20 times, measured).  Hence CROWDED: until
 *     the kernel shows no entry of an older generation (helper/switch/crowd.c), the next generation
 *     registers without EPOLLEXCLUSIVE.  Where the next generation blocks in accept() instead,
 *     pokes wake the old entries one by one, and the old generation's shim removes each at once.
 *
 * ---- Roll-back ----
 *
 * A roll-back is the same with the roles exchanged: the failed generation's gates close, its
 * accepts in flight finish or die with it, and the earlier generation's gates open.  There may be
 * more than one earlier generation: a listener that an older one had not given away yet goes back
 * to that one.  So each listener goes to the newest generation that has had it open.  Connections
 * that the failed generation has accepted end with it, as they would if it had crashed an hour
 * later.
 *
 * ---- Without overlap ----
 *
 * Where two generations cannot live at one time (helper/lifecycle/vacate.h), much time passes
 * between (2) and (3).  The argument still holds: from (2) on nobody accepts, and new connections
 * are queued.
 */
#include "helper/switch/switch.h"

#include <sched.h>

#include "helper/state/socket_options.h"
#include "helper/switch/crowd.h"
#include "helper/switch/poke.h"

/* The processes of other generations may wait on the same listeners. */
static bool others_exist(const struct instance *instance, const struct generation *generation)
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

/*
 * Step (2).  Each closed listener gets as many pokes as accepts are in flight, since the order of
 * the kernel's wait queue decides which process a poke wakes.  Returns how long it has waited.
 */
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
				(void)poke_send(instance_listener(instance, i), instance->newest);
		}
		(void)poke_reap(instance->newest);
		next_poke = now() + 2 * MILLISECOND;
	}
	return now() - began;
}

/*
 * Closes all open gates of `from`, also of listeners that stay: the in-flight count is a process's,
 * so an accept blocked on one of those would hold up the rest.
 */
static void close_gates(struct instance *instance, struct generation *from)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (accepts(from, i))
			gate_set(from, i, MOULT_GATE_DRAINING);
	generation_tell(from);
}

/* Sets the gates of the listeners that do not move to what they were. */
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

/* Has a keeper opened this gate, which is closed by the launcher's decision? */
static bool is_taken_back(const struct generation *generation, uint32_t i)
{
	uint32_t word = atomic_load(&generation->board->gate[i].word);
	return generation->holds[i] && (word & MOULT_GATE_ORPHANED) &&
	       gate_get(generation, i) != MOULT_GATE_OPEN;
}

/*
 * Sets every gate to what the launcher has decided.  Gates that a keeper has opened are closed as
 * in (1) and (2).  Then sets O_NONBLOCK to what the accepting generation wants.
 */
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
	crowd_begin(instance); /* reaps the pokes */
}

void switch_assert(struct instance *instance)
{
	while (ledger_was_used())
		assert_once(instance);
}

/* Steps (1) and (2). */
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
 * Settles a race with fcntl() in the daemon.  The shim writes the view, then sets the real flag if
 * the gate is open.  The launcher has set the flag and opened the gate, and now reads the view
 * again.  The one that comes second sees the other's write.  A daemon that changes the flag all the
 * time may have a wrong one in the end, but cannot hold up the switch: the loop ends after eight
 * rounds.
 */
static void settle_nonblock(
        const struct listener *listener, const struct generation *to, uint32_t i, bool nonblock)
{
	for (int round = 0; round < 8 && nonblock != generation_nonblock(to, i); round++) {
		nonblock = !nonblock;
		socket_set_nonblock(listener->fd, nonblock);
	}
}

/* Steps (3) and (4). */
static void give_to(struct instance *instance, struct generation *to, const bool *moves)
{
	switch_assert(instance);
	bool crowded = others_exist(instance, to);
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
	 * Decided once: a daemon may begin to wait on one more listener at any moment.  The gate of
	 * that listener stays open in its old generation and must not be opened in `to` beside it.
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
		if (g == failed || (g->state != GENERATION_CURRENT && !generation_is_replaced(g)))
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
	crowd_begin(instance); /* reaps the pokes */
	return waited;
}

/*
 * Does another generation hold that listener, or one whose address overlaps, so that without moult
 * bind() would refuse one of the two?
 */
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
	 * The next generation must wait for the switch on every listener that another generation
	 * knows, if one serves; and on all listeners if it awaits its turn.  An address that only
	 * the next generation has opens at once: its services may have to reach each other there
	 * before one of them serves clients.  So does a port that the kernel has chosen, which
	 * nobody else knows.
	 */
	bool early = generation->state == GENERATION_WARMING &&
	             !instance_listener(instance, listener)->ephemeral &&
	             (generation->awaits_turn ||
	                     (instance->current && is_known(instance, generation, listener)));
	if (!generation_may_bind(generation))
		return MOULT_GATE_DRAINING;
	if (!alone || early)
		return MOULT_GATE_WARMING;
	return MOULT_GATE_OPEN | (others_exist(instance, generation) ? MOULT_GATE_CROWDED : 0);
}
