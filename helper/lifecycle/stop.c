/* SPDX-License-Identifier: MIT */
/* The instance ends. */
#include "helper/base/log.h"
#include "helper/control/server.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/tree.h"
#include "helper/lifecycle/actions.h"
#include "helper/lifecycle/aside.h"
#include "helper/lifecycle/attempt.h"
#include "helper/lifecycle/drain.h"
#include "helper/lifecycle/manager.h"
#include "helper/lifecycle/restart.h"
#include "helper/lifecycle/retire.h"
#include "helper/lifecycle/rollback.h"
#include "helper/requests/publish.h"
#include "helper/state/survey.h"
#include "helper/switch/switch.h"

/* At most so long `moult stop` waits until the daemon has accepted what is queued. */
static const nanoseconds QUEUE_PATIENCE = 5 * SECOND;

static struct timer queue_timer;
static nanoseconds queue_deadline;

/* ---- the listeners ---- */

static bool is_needed(struct instance *instance, uint32_t i)
{
	return instance->current && retire_is_needed(instance->current, i);
}

/* Is the socket to be closed, or is it needed, or does it outlive the launcher? */
static bool is_to_close(struct instance *instance, uint32_t i, bool all)
{
	return (all || !is_needed(instance, i)) && !instance_leaves(instance, i);
}

/* Do new clients wait for the next launcher? */
static bool leaves_any(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (instance_leaves(instance, i))
			return true;
	return false;
}

static bool is_datagram(struct instance *instance, uint32_t i)
{
	return identity_is_datagram(&instance_listener(instance, i)->identity);
}

/*
 * A blocked accept() returns when its queue is closed.  A blocked read of a datagram socket does
 * not, and its generation would never count as empty.  So a poke ends the read, as at a switch.
 * The poke is a datagram, so the socket must let datagrams in for this.
 */
static void release_readers(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (is_datagram(instance, i) &&
		        instance_listener(instance, i)->state == LISTENER_RETIRING)
			listener_admit(instance_listener(instance, i));
	for (struct generation *g = instance->newest; g; g = g->older)
		if (generation_inflight(g))
			(void)switch_release(instance, g);
}

/*
 * Closes the gates, then the sockets.  `all` false: not the sockets by which the services of the
 * current generation reach each other.  Its drain closes those.  Of a listener that outlives the
 * launcher only the gates close, and blocked accepts return by a poke as at a switch.
 */
static void close_listeners(struct instance *instance, bool all)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		for (uint32_t i = 0; i < instance->store.count; i++)
			if (g->holds[i] && gate_get(g, i) == MOULT_GATE_OPEN &&
			        (all || !is_needed(instance, i)))
				gate_end(g, i);
		generation_tell(g);
	}
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (is_to_close(instance, i, all) && !is_datagram(instance, i))
			listener_close(instance_listener(instance, i));
	release_readers(instance);
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (is_to_close(instance, i, all))
			listener_close(instance_listener(instance, i));
	publish_addresses(instance);
}

static void refuse_new_clients(struct instance *instance)
{
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct generation *acceptor = instance_acceptor(instance, i);
		if (!is_to_close(instance, i, false))
			continue;
		if (acceptor)
			retire_refuse(acceptor, i);
		else
			listener_refuse(instance_listener(instance, i));
	}
	publish_addresses(instance);
}

/* ---- stop ---- */

/* Fires until the queues are empty.  New SYNs are dropped; queued connections are accepted. */
static void look_at_queues(void *context)
{
	struct instance *instance = context;
	struct port_set handshakes;
	if (instance->state != INSTANCE_CLOSING)
		return;
	bool empty = audit_handshakes(&handshakes) == 0;
	for (uint32_t i = 0; i < instance->store.count; i++)
		empty &= !is_to_close(instance, i, false) ||
		         instance_listener(instance, i)->state == LISTENER_GONE ||
		         listener_is_empty(instance_listener(instance, i), &handshakes);
	if (!empty && instance->current && now() < queue_deadline)
		loop_after(&queue_timer, 5 * MILLISECOND);
	else
		transitions_event(instance, EVENT_QUEUES_EMPTY);
}

/*
 * The keepers are told first: from here on they finish the end if the launcher is killed.  If a
 * start is still under way here, its generation must be killed.  If nobody has asked for the end, the
 * service manager may start the service again (Restart=), so what it keeps stays open; otherwise it
 * closes its duplicates when the launcher has ended.
 */
enum event stop_close(struct instance *instance, const struct happening *what)
{
	(void)restart_cancel();
	if (what->event == EVENT_DESERTED)
		instance->leaves_listeners = true;
	ledger_announce_end();
	manager_ends(instance);
	rollback_abandon(instance);
	control_finish(VERB_UPGRADE, true, EXIT_FAILED);
	if (instance->current)
		survey_hurry(instance->current);
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (instance_leaves(instance, i))
			listener_raise(instance_listener(instance, i));
	refuse_new_clients(instance);
	nanoseconds patience = settings_stop_timeout(&instance->settings, false);
	queue_deadline = after(patience < QUEUE_PATIENCE ? patience : QUEUE_PATIENCE);
	queue_timer.fire = look_at_queues;
	queue_timer.context = instance;
	loop_after(&queue_timer, 0);
	return instance->newest ? EVENT_NONE : EVENT_NONE_LEFT;
}

/* The next generation accepts what is queued, ready or not: no other generation does. */
enum event stop_close_starting(struct instance *instance, const struct happening *what)
{
	struct generation *generation = instance->attempt->generation;
	ledger_announce_end();
	manager_ends(instance);
	transitions_move(generation, GENERATION_SWITCHED);
	instance_set_current(instance, generation);
	switch_to(instance, generation);
	generation->awaits_turn = false;
	aside_keep();
	attempt_note_reason(instance, generation->id, "the instance was stopped");
	attempt_finish(instance, EXIT_FAILED);
	return stop_close(instance, what);
}

enum event stop_close_probation(struct instance *instance, const struct happening *what)
{
	ledger_announce_end();
	manager_ends(instance);
	(void)takeover_commit(instance, what);
	return stop_close(instance, what);
}

/* The newest generation that is able to serve accepts what is queued. */
enum event stop_close_vacating(struct instance *instance, const struct happening *what)
{
	ledger_announce_end();
	manager_ends(instance);
	(void)rollback_resume(instance, NULL);
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g->state == GENERATION_VACATING)
			transitions_move(g, GENERATION_DRAINS);
	return stop_close(instance, what);
}

/*
 * --leave-sessions: the first processes get the stop signal, and the launcher ends.  The keepers stay
 * with the others.  They open no gate in place of the launcher, for gate_end() has made them forget
 * the listeners.  The first processes are waited for, because the daemon may be started again at once.
 */
static enum event leave_sessions(struct instance *instance)
{
	nanoseconds deadline = after(SECOND);
	ledger_retract_end();
	for (struct generation *g = instance->newest; g; g = g->older) {
		loop_cancel(&g->drain);
		if (!g->main_exited)
			(void)tree_signal_one(g->keeper, g->main, g->settings.stop_signal);
	}
	for (struct generation *g = instance->newest; g; g = g->older)
		while (!g->main_exited && g->main > 0 && tree_birth(g->main) && now() < deadline)
			nap(MILLISECOND);
	log_notice("the sessions of the daemon go on without moult");
	return EVENT_NONE_LEFT;
}

/*
 * The gates close, and the sockets after the gates.  In this order an accept() that finds its
 * socket closed looks at the gate, sees it closed, and waits instead of failing.
 */
enum event stop_drain(struct instance *instance, const struct happening *what)
{
	const struct settings *settings =
	        instance->current ? &instance->current->settings : &instance->settings;
	bool awaited = leaves_any(instance);
	nanoseconds timeout = settings_stop_timeout(settings, awaited);
	(void)what;
	loop_cancel(&queue_timer);
	close_listeners(instance, false);
	if (instance->current)
		drain_begin(instance, instance->current);
	instance_set_current(instance, NULL);
	for (struct generation *g = instance->newest; g; g = g->older)
		if (awaited || settings->stop_timeout_given)
			drain_limit(g, timeout);
	return settings->leaves_sessions ? leave_sessions(instance) : EVENT_NONE;
}

enum event stop_now(struct instance *instance, const struct happening *what)
{
	const struct generation *next = instance->attempt->generation;
	(void)restart_cancel();
	loop_cancel(&queue_timer);
	ledger_announce_end();
	manager_ends(instance);
	if (next && next->state == GENERATION_CURRENT) /* on probation */
		(void)takeover_commit(instance, what);
	rollback_abandon(instance);
	control_finish(VERB_UPGRADE, true, EXIT_FAILED);
	close_listeners(instance, true);
	for (struct generation *g = instance->newest; g; g = g->older)
		drain_stop(g, g->settings.kill_after);
	return instance->newest ? EVENT_NONE : EVENT_NONE_LEFT;
}

/*
 * Other generations may be left: they drain or stop, and the launcher ends after them.  What the
 * service manager keeps stays open, as in stop_close().
 */
enum event stop_give_up(struct instance *instance, const struct happening *what)
{
	(void)what;
	(void)restart_cancel();
	instance->leaves_listeners = true;
	manager_ends(instance);
	if (!instance->newest)
		return EVENT_NONE_LEFT;
	close_listeners(instance, true);
	return EVENT_NONE;
}

enum event stop_end(struct instance *instance, const struct happening *what)
{
	(void)instance;
	(void)what;
	loop_end();
	return EVENT_NONE;
}
