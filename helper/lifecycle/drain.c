/* SPDX-License-Identifier: MIT */
/* The end of a generation. */
#include "helper/lifecycle/drain.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/control/server.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/tree.h"
#include "helper/requests/publish.h"
#include "helper/state/glance.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"

/*
 * What has been read from a datagram socket and not been answered yet the kernel does not know.  A
 * resolver waits five seconds before it asks again (resolv.conf(5), RES_TIMEOUT): so long the old
 * generation may still send.
 */
static const nanoseconds DATAGRAM_PATIENCE = 5 * SECOND;
/* While all others wait, whose datagrams the socket's buffer has little room for. */
static const nanoseconds DATAGRAM_PATIENCE_YIELDING = 200 * MILLISECOND;

/* A count that takes longer has failed, and has said so. */
static const nanoseconds COUNT_PATIENCE = 10 * SECOND;

static bool may_answer_later(const struct generation *generation)
{
	nanoseconds patience = generation->yields ? DATAGRAM_PATIENCE_YIELDING : DATAGRAM_PATIENCE;
	return generation->drain_began && now() - generation->drain_began < patience &&
	       generation_datagrams(generation) > 0;
}

/*
 * 0: it has been counted.  -EINPROGRESS: drain_counted() will be called.  Other -errno: it cannot be
 * counted now.
 */
static int count(struct generation *generation, bool *ret_quiet)
{
	bool empty;
	*ret_quiet = false;
	if (!survey_take(generation, generation->drain_began, &empty)) {
		int result = survey_begin(generation, false);
		return result < 0 ? result : -EINPROGRESS;
	}
	/* Who sleeps in accept() at a listener that is kept open for the services does so for ever. */
	bool may_sleep = generation->talks_to_itself && !generation->deserted;
	*ret_quiet = empty && (may_sleep || !generation_inflight(generation)) &&
	             !may_answer_later(generation);
	return generation->count_is_old ? -ETIMEDOUT : 0;
}

/* ---- listeners that no later generation wants ---- */

/*
 * An older generation that drains, too, and holds it, makes no difference: it does not get it back.
 * Of several that hold it the one that accepts there retires it.
 */
static bool is_left_behind(
        struct instance *instance, const struct generation *generation, uint32_t i)
{
	if (!generation->holds[i] || instance_listener(instance, i)->state == LISTENER_GONE)
		return false;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g != generation && g->holds[i] &&
		        (g->state < GENERATION_DRAINING || gate_get(g, i) == MOULT_GATE_OPEN))
			return false;
	return true;
}

void drain_refuse(struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(generation->instance, i);
	/* The gate first: from now on the shim knows what EINVAL means here. */
	if (gate_get(generation, i) == MOULT_GATE_OPEN) {
		gate_set(generation, i, MOULT_GATE_OPEN | MOULT_GATE_ENDING);
		generation_tell(generation);
	}
	listener_refuse(listener);
}

/*
 * The services of one daemon find each other by UNIX sockets (a login process asks for the password,
 * then for somebody to serve the mailbox): those must not vanish under clients that are still there.
 */
bool drain_needs(const struct generation *generation, uint32_t i)
{
	const struct listener *listener = instance_listener(generation->instance, i);
	bool may_talk = generation->talks_to_itself || survey_is_uncertain(generation);
	return generation->holds[i] && may_talk && !generation->deserted &&
	       !identity_is_inet(&listener->identity);
}

/*
 * It began to listen while it served, for one of the clients it still has, as FTP's passive mode
 * does in servers of a single process: the client may be on its way there.
 */
static bool is_for_a_client(const struct generation *generation, const struct listener *listener)
{
	bool may_have = generation->connections > 0 || survey_is_uncertain(generation);
	return listener->late && may_have && !generation->deserted;
}

/* A datagram socket is not among them: it is read to the end, and refuses when it is closed. */
static void refuse_left_behind(struct instance *instance, struct generation *generation)
{
	bool any = false;
	if (generation->yields) /* somebody will take them up */
		return;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		const struct listener *listener = instance_listener(instance, i);
		if (listener->state != LISTENER_LIVE || identity_is_datagram(&listener->identity) ||
		        drain_needs(generation, i) || is_for_a_client(generation, listener) ||
		        !is_left_behind(instance, generation, i) ||
		        moves_stays(instance, generation, i))
			continue;
		drain_refuse(generation, i);
		any = true;
	}
	if (any)
		publish_addresses(instance);
}

/*
 * Retires without a reset: nobody new gets in (clients of TCP retry, and are refused after the
 * close), this generation accepts what is queued, then its gate closes and the queue ends.  The
 * handshakes first, then the queues: one that was under way is seen in the one or in the other.
 * True when none is left open.
 */
static bool retire_left_behind(struct instance *instance, struct generation *generation)
{
	struct port_set handshakes;
	bool done = true, known = false;
	refuse_left_behind(instance, generation);
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct listener *listener = instance_listener(instance, i);
		if (listener->state != LISTENER_RETIRING ||
		        !is_left_behind(instance, generation, i))
			continue;
		if (!known && audit_handshakes(&handshakes) < 0)
			return false;
		known = true;
		if (!listener_is_empty(listener, &handshakes) &&
		        now() < generation->drain_deadline &&
		        gate_get(generation, i) == MOULT_GATE_OPEN) {
			done = false;
			continue;
		}
		static struct log_limit limit = {.burst = LOG_BURST};
		char name[LISTENER_TEXT];
		listener_print(listener, name, sizeof(name));
		log_limited(&limit, LOG_LEVEL_NOTICE, "generation %u: %s retired", generation->id,
		        name);
		gate_end(generation, i);
		generation_tell(generation);
		listener_close(listener);
	}
	if (known)
		publish_addresses(instance);
	return done;
}

/* ---- stopping ---- */

static void kill_again(void *context)
{
	struct generation *generation = context;
	tree_signal(generation->keeper, SIGKILL);
	/* Processes forked while we walked are found by the next walk; the keeper's exit ends it.
	 */
	loop_after(&generation->drain, 20 * MILLISECOND);
}

void drain_kill(struct generation *generation)
{
	generation->state = GENERATION_STOPPING;
	ledger_is_stopping(generation->entry);
	generation->drain.fire = kill_again;
	generation->drain.context = generation;
	kill_again(generation);
}

void drain_await_kill(const struct generation *generation, nanoseconds patience)
{
	nanoseconds deadline = after(patience);
	struct timespec pause = {.tv_nsec = MILLISECOND};
	siginfo_t info = {0};
	while (generation->keeper && now() < deadline &&
	        waitid(P_PID, (id_t)generation->keeper, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	        !info.si_pid) {
		tree_signal(generation->keeper, SIGKILL);
		nanosleep(&pause, NULL);
	}
}

/*
 * The stop signal goes to the top: the keeper's children, and whoever becomes one because a process
 * above it has ended (prefork workers whose master is gone).  Each gets it once.
 */
static void tell_again(void *context)
{
	struct generation *generation = context;
	if (now() >= generation->kill_at) {
		struct pid_set left = {0};
		(void)tree_list_some(generation->keeper, &left);
		if (left.count)
			log_notice(
			        "generation %u: %zu processes still there after the stop signal, "
			        "killing",
			        generation->id, left.count);
		pid_set_deinit(&left);
		drain_kill(generation);
		return;
	}
	tree_signal_children_once(
	        generation->keeper, generation->settings.stop_signal, &generation->told);
	nanoseconds left = generation->kill_at - now();
	loop_after(&generation->drain, left < 20 * MILLISECOND ? left : 20 * MILLISECOND);
}

void drain_stop(struct generation *generation, nanoseconds patience)
{
	if (generation->state == GENERATION_STOPPING)
		return;
	generation->state = GENERATION_STOPPING;
	generation->kill_at = after(patience);
	generation->drain.fire = tell_again;
	generation->drain.context = generation;
	tell_again(generation);
	ledger_is_stopping(generation->entry);
}

/* ---- draining ---- */

/* Clients wait for it: what the operator may have to change. */
static void say_stopping(const struct generation *generation)
{
	char time[32], name[32];
	duration_print(generation->settings.kill_after, time, sizeof(time));
	log_notice("generation %u: stopping by %s, it has %s before SIGKILL", generation->id,
	        signal_print(generation->settings.stop_signal, name, sizeof(name)),
	        generation->settings.kill_after == NEVER ? "any time" : time);
}

static void drained(struct generation *generation)
{
	char time[32];
	duration_print(now() - generation->drain_began, time, sizeof(time));
	if (generation->by_deadline)
		log_notice("generation %u: %zu connections left after %s, stopping", generation->id,
		        generation->connections, time);
	else
		snprintf(
		        generation->ending, sizeof(generation->ending), "drained after %s, ", time);
	if (generation->yields)
		say_stopping(generation);
	drain_stop(generation, generation->settings.kill_after);
}

/* Who is told may close his listeners at once: not while one of them has to be served still. */
static void send_drain_signal(struct generation *generation)
{
	if (generation->stayed || !generation->drain_signal_due)
		return;
	generation->drain_signal_due = false;
	if (generation->settings.drain_signal)
		tree_signal_children(generation->keeper, generation->settings.drain_signal);
}

/*
 * Whose listeners have stayed with it until now may be beyond its deadline.  What is queued there is
 * to be accepted all the same; new clients do not get in.
 */
static const nanoseconds RETIRING_PATIENCE = SECOND;

static void look_at_stay(struct instance *instance, struct generation *generation)
{
	bool stays = moves_any_stays(instance, generation);
	if (generation->stayed && !stays && generation->drain_deadline < after(RETIRING_PATIENCE))
		generation->drain_deadline = after(RETIRING_PATIENCE);
	generation->stayed = stays;
	send_drain_signal(generation);
}

static bool is_out_of_time(const struct generation *generation)
{
	return now() >= generation->drain_deadline && !generation->stayed;
}

static nanoseconds shorter(nanoseconds pause, nanoseconds until)
{
	nanoseconds left = until - now();
	return left > 0 && left < pause ? left : pause;
}

static void look(void *context)
{
	struct generation *generation = context;
	struct instance *instance = generation->instance;
	bool quiet = false;
	size_t before = generation->connections;
	look_at_stay(instance, generation);
	if (is_out_of_time(generation))
		generation->deserted = true;
	bool retired = retire_left_behind(instance, generation);
	int result = count(generation, &quiet);
	if (result == -EINPROGRESS && !is_out_of_time(generation)) {
		nanoseconds pause = retired ? COUNT_PATIENCE : 20 * MILLISECOND;
		pause = shorter(pause, generation->drain_deadline);
		if (generation->stayed)
			pause = shorter(pause, instance->retire_at);
		loop_after(&generation->drain, pause);
		return;
	}
	if (result < 0)
		log_debug("generation %u: cannot count its connections (%d), trying again",
		        generation->id, result);
	quiet &= !generation->stayed;
	if (quiet && generation->talks_to_itself && !generation->deserted) {
		generation->deserted = true; /* what it has kept for itself retires first */
		quiet = false;
	}
	generation->empty_in_a_row = quiet && retired ? generation->empty_in_a_row + 1 : 0;
	if (generation->connections != before)
		control_progress("generation %u: draining, %zu connections", generation->id,
		        generation->connections);
	if (is_out_of_time(generation))
		generation->by_deadline = true;
	if (generation->empty_in_a_row >= 2 || generation->by_deadline) {
		if (generation->empty_in_a_row >= 2)
			generation->by_deadline = false;
		drained(generation);
		return;
	}
	/*
	 * Soon while it seems nearly over, and never more than 5 % of a core; but the second look
	 * at an empty generation comes at once.
	 */
	nanoseconds cost = generation->count_is_old ? 0 : generation->survey.cost;
	bool soon =
	        generation_open_hint(generation) == 0 || now() - generation->drain_began < SECOND;
	nanoseconds pause = (soon ? 20 : 200) * MILLISECOND;
	if (pause < 20 * cost && !(glance_paces(generation) && cost >= generation->count_cost))
		pause = 20 * cost;
	if (!retired && pause > 20 * MILLISECOND) /* clients wait to be refused */
		pause = 20 * MILLISECOND;
	if (generation->empty_in_a_row)
		pause = 5 * MILLISECOND;
	pause = shorter(pause, generation->drain_deadline);
	if (generation->stayed)
		pause = shorter(pause, instance->retire_at);
	loop_after(&generation->drain, pause);
}

void drain_counted(struct generation *generation)
{
	if (generation->state == GENERATION_DRAINING && generation->drain.armed)
		loop_after(&generation->drain, 0);
}

static void begin(struct instance *instance, struct generation *generation, nanoseconds timeout)
{
	generation->state = GENERATION_DRAINING;
	generation->drain_began = now();
	generation->drain_deadline = after(timeout);
	generation->empty_in_a_row = 0;
	generation->stayed = moves_any_stays(instance, generation);
	generation->drain_signal_due = true;
	generation->drain.fire = look;
	generation->drain.context = generation;
	/* No listener moves to it any more, so its waits need not look for that (shim/wait.c). */
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_WARMING)
			gate_set(generation, i, MOULT_GATE_DRAINING);
	generation_tell(generation);
	survey_hurry(generation);
	refuse_left_behind(instance, generation);
	if (generation->yields) {
		char time[32] = "as long as it takes";
		if (timeout != NEVER)
			duration_print(timeout, time, sizeof(time));
		log_notice("generation %u: draining, %zu connections (%s); new ones wait in the "
		           "queue",
		        generation->id, generation->connections, time);
	} else if (survey_is_uncertain(generation))
		log_notice("generation %u: draining, its connections are still being counted",
		        generation->id);
	else
		log_notice("generation %u: draining, %zu connections", generation->id,
		        generation->connections);
	send_drain_signal(generation);
	loop_after(&generation->drain, 0);
}

void drain_begin(struct instance *instance, struct generation *generation)
{
	begin(instance, generation, generation->settings.drain_timeout);
}

void drain_yield(struct instance *instance, struct generation *generation, nanoseconds timeout)
{
	generation->yields = true;
	if (generation->state == GENERATION_STOPPING)
		return;
	if (generation->state != GENERATION_DRAINING) {
		begin(instance, generation, timeout);
		return;
	}
	if (generation->drain_deadline > after(timeout))
		generation->drain_deadline = after(timeout);
	loop_after(&generation->drain, 0);
}

void drain_cancel(struct generation *generation)
{
	generation->yields = false;
	generation->by_deadline = false;
	loop_cancel(&generation->drain);
	for (uint32_t i = 0; i < generation->instance->store.count; i++) {
		if (!generation->holds[i])
			continue;
		/* One that it was retiring lets clients in again. */
		if (gate_get(generation, i) == MOULT_GATE_OPEN)
			listener_admit(instance_listener(generation->instance, i));
		/* One that had not moved to it yet is awaited again (begin()). */
		else if (gate_get(generation, i) == MOULT_GATE_DRAINING && !generation->trusted[i])
			gate_set(generation, i, MOULT_GATE_WARMING);
	}
	generation->deserted = false;
	generation->state = GENERATION_CURRENT;
}
