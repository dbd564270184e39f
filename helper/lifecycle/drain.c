/* SPDX-License-Identifier: MIT */
/* The end of a generation. */
#include "helper/lifecycle/drain.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/control/server.h"
#include "helper/kernel/owner.h"
#include "helper/kernel/tree.h"
#include "helper/lifecycle/retire.h"
#include "helper/lifecycle/transitions.h"
#include "helper/state/glance.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"

/*
 * The kernel does not know which datagrams have been read and not answered yet.  So the old
 * generation may still send for as long as a resolver waits before it asks again: five seconds
 * (resolv.conf(5), RES_TIMEOUT).
 */
static const nanoseconds DATAGRAM_PATIENCE = 5 * SECOND;
/* With --no-overlap: all clients wait meanwhile, and the socket's buffer holds few datagrams. */
static const nanoseconds DATAGRAM_PATIENCE_VACATING = 200 * MILLISECOND;

/* Longer than any count: a count without an answer ends after ERRAND_SECONDS. */
static const nanoseconds COUNT_PATIENCE = 10 * SECOND;

static bool may_answer_later(const struct generation *generation)
{
	nanoseconds patience = generation->state == GENERATION_VACATING ? DATAGRAM_PATIENCE_VACATING
	                                                                : DATAGRAM_PATIENCE;
	return generation->drain_began && now() - generation->drain_began < patience &&
	       generation_datagrams(generation) > 0;
}

/*
 * 0: a count has ended, see *ret_quiet.  -EINPROGRESS: drain_counted() will be called.  Other
 * -errno: the count failed or cannot be made now.
 */
static int count(struct generation *generation, bool *ret_quiet)
{
	bool empty;
	*ret_quiet = false;
	if (!survey_take(generation, generation->drain_began, &empty)) {
		int result = survey_begin(generation, false);
		return result < 0 ? result : -EINPROGRESS;
	}
	/*
	 * A listener that the services need stays open, and a process that sleeps in accept() there
	 * does not wake up.  So a sleeping accept() does not count as activity.
	 */
	bool may_sleep = generation->talks_to_itself && !generation->deserted;
	*ret_quiet = empty && (may_sleep || !generation_inflight(generation)) &&
	             !may_answer_later(generation);
	return generation->count_is_old ? -ETIMEDOUT : 0;
}

/* ---- stopping ---- */

static void tick(void *context);

static void arm(struct generation *generation, nanoseconds delay)
{
	generation->drain.fire = tick;
	generation->drain.context = generation;
	loop_after(&generation->drain, delay);
}

/* The signals are sent again and again; this is said once. */
static void say_if_refused(struct generation *generation)
{
	uid_t uid;
	if (!owner_was_refused(&uid) || generation->told_refused)
		return;
	generation->told_refused = true;
	log_error("generation %u: moult may not send signals to processes of user %d, so it cannot "
	          "end them; under systemd add CAP_KILL to CapabilityBoundingSet=",
	        generation->id, (int)uid);
}

/* The next walk finds processes that were forked during this walk. */
static void kill_again(struct generation *generation)
{
	tree_signal(generation->keeper, SIGKILL);
	say_if_refused(generation);
	arm(generation, 20 * MILLISECOND);
}

void drain_kill(struct generation *generation)
{
	transitions_move(generation, GENERATION_ENDS);
	ledger_is_stopping(generation->entry);
	kill_again(generation);
}

void drain_await_kill(const struct generation *generation, nanoseconds patience)
{
	nanoseconds deadline = after(patience);
	while (!generation_has_ended(generation) && now() < deadline) {
		tree_signal(generation->keeper, SIGKILL);
		nap(MILLISECOND);
	}
}

/*
 * The stop signal goes to the keeper's children.  A process whose parent ends becomes a child of
 * the keeper and gets the signal then, for example a prefork worker after its master.  Each process
 * gets the signal once.
 */
static void tell_again(struct generation *generation)
{
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
	say_if_refused(generation);
	nanoseconds left = generation->kill_at - now();
	arm(generation, left < 20 * MILLISECOND ? left : 20 * MILLISECOND);
}

void drain_stop(struct generation *generation, nanoseconds patience)
{
	if (!transitions_move(generation, GENERATION_STOPS))
		return;
	generation->kill_at = after(patience);
	tell_again(generation);
	ledger_is_stopping(generation->entry);
}

/* ---- draining ---- */

/*
 * With --no-overlap clients wait for this end, so the log names the settings that decide about it.
 */
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
		log_notice("generation %u: %s%zu connections left after %s, stopping",
		        generation->id, survey_about(generation), generation->connections, time);
	else
		snprintf(
		        generation->ending, sizeof(generation->ending), "drained after %s, ", time);
	if (generation->state == GENERATION_VACATING)
		say_stopping(generation);
	drain_stop(generation, generation->settings.kill_after);
}

/*
 * A daemon may close its listeners when it gets the drain signal.  So the signal waits until no
 * listener stays with the generation.
 */
static void send_drain_signal(struct generation *generation)
{
	if (generation->stayed || !generation->drain_signal_due)
		return;
	generation->drain_signal_due = false;
	if (generation->settings.drain_signal)
		tree_signal_children(generation->keeper, generation->settings.drain_signal);
}

/*
 * When the last listener that stayed leaves, the drain's deadline may have passed already.  Clients
 * that are queued there are still accepted, for so long; new clients do not get in.
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

static void look(struct generation *generation)
{
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
		arm(generation, pause);
		return;
	}
	if (result < 0)
		log_debug("generation %u: cannot count its connections (%d), trying again",
		        generation->id, result);
	quiet &= !generation->stayed;
	if (quiet && generation->talks_to_itself && !generation->deserted) {
		generation->deserted = true; /* now the services' own listeners retire first */
		quiet = false;
	}
	generation->empty_in_a_row = quiet && retired ? generation->empty_in_a_row + 1 : 0;
	if (generation->connections != before)
		control_progress("generation %u: draining, %s%zu connections", generation->id,
		        survey_about(generation), generation->connections);
	if (is_out_of_time(generation))
		generation->by_deadline = true;
	if (generation->empty_in_a_row >= 2 || generation->by_deadline) {
		if (generation->empty_in_a_row >= 2)
			generation->by_deadline = false;
		drained(generation);
		return;
	}
	/*
	 * The pause is short while the drain seems nearly over, and long enough that counting takes
	 * at most 5 % of a core.  Two cases may take more: a listener that is being retired, for
	 * its clients wait to be refused, and the second look at an empty generation.
	 */
	nanoseconds cost = generation->count_is_old ? 0 : generation->survey.cost;
	bool soon =
	        generation_open_hint(generation) == 0 || now() - generation->drain_began < SECOND;
	nanoseconds pause = (soon ? 20 : 200) * MILLISECOND;
	if (pause < 20 * cost && !(glance_paces(generation) && cost >= generation->count_cost))
		pause = 20 * cost;
	if (!retired && pause > 20 * MILLISECOND)
		pause = 20 * MILLISECOND;
	if (generation->empty_in_a_row)
		pause = 5 * MILLISECOND;
	pause = shorter(pause, generation->drain_deadline);
	if (generation->stayed)
		pause = shorter(pause, instance->retire_at);
	arm(generation, pause);
}

/* The one timer of a generation's end does what its state says. */
static void tick(void *context)
{
	struct generation *generation = context;
	switch (generation->state) {
	case GENERATION_DRAINING:
	case GENERATION_VACATING: look(generation); break;
	case GENERATION_STOPPING: tell_again(generation); break;
	case GENERATION_KILLED: kill_again(generation); break;
	case GENERATION_WARMING:
	case GENERATION_CURRENT:
	case GENERATION_STANDBY:
	case GENERATION_STATES: break; /* the timer is not armed */
	}
}

void drain_counted(struct generation *generation)
{
	if (generation->state == GENERATION_DRAINING || generation->state == GENERATION_VACATING)
		arm(generation, 0);
}

static void begin(struct instance *instance, struct generation *generation, nanoseconds timeout)
{
	generation->drain_began = now();
	generation->drain_deadline = after(timeout);
	generation->empty_in_a_row = 0;
	generation->stayed = moves_any_stays(instance, generation);
	generation->drain_signal_due = true;
	/* No listener moves to this generation any more: its waits stop looking (shim/wait.c). */
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (generation->holds[i] && gate_get(generation, i) == MOULT_GATE_WARMING)
			gate_set(generation, i, MOULT_GATE_DRAINING);
	generation_tell(generation);
	survey_hurry(generation);
	retire_refuse_left_behind(instance, generation);
	if (generation->state == GENERATION_VACATING) {
		char time[32] = "as long as it takes";
		if (timeout != NEVER)
			duration_print(timeout, time, sizeof(time));
		log_notice("generation %u: draining, %s%zu connections (%s); new ones wait in the "
		           "queue",
		        generation->id, survey_about(generation), generation->connections, time);
	} else if (survey_is_uncertain(generation))
		log_notice("generation %u: draining, its connections are still being counted",
		        generation->id);
	else
		log_notice("generation %u: draining, %s%zu connections", generation->id,
		        survey_about(generation), generation->connections);
	send_drain_signal(generation);
	arm(generation, 0);
}

void drain_begin(struct instance *instance, struct generation *generation)
{
	transitions_move(generation, GENERATION_DRAINS);
	begin(instance, generation, generation->settings.drain_timeout);
}

void drain_limit(struct generation *generation, nanoseconds timeout)
{
	if (generation->state != GENERATION_DRAINING && generation->state != GENERATION_VACATING)
		return;
	if (generation->drain_deadline > after(timeout))
		generation->drain_deadline = after(timeout);
	arm(generation, 0);
}

void drain_vacate(struct instance *instance, struct generation *generation, nanoseconds timeout)
{
	bool drains = generation->state == GENERATION_DRAINING;
	if (!transitions_move(generation, GENERATION_VACATES))
		return;
	if (drains)
		drain_limit(generation, timeout);
	else
		begin(instance, generation, timeout);
}

void drain_cancel(struct generation *generation)
{
	generation->by_deadline = false;
	loop_cancel(&generation->drain);
	for (uint32_t i = 0; i < generation->instance->store.count; i++) {
		if (!generation->holds[i])
			continue;
		/* Undoes retire_refuse().  A UNIX listener has no way back: it stays closed. */
		if (gate_get(generation, i) == MOULT_GATE_OPEN)
			listener_admit(instance_listener(generation->instance, i));
		/* Undoes begin(): a listener that had not moved yet may move again. */
		else if (gate_get(generation, i) == MOULT_GATE_DRAINING && !generation->trusted[i])
			gate_set(generation, i, MOULT_GATE_WARMING);
	}
	generation->deserted = false;
	transitions_move(generation, GENERATION_RESUMES);
}
