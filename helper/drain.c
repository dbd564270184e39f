/* SPDX-License-Identifier: MIT */
/* The end of a generation. */
#include "helper/drain.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "helper/audit.h"
#include "helper/control_server.h"
#include "helper/diag.h"
#include "helper/glance.h"
#include "helper/log.h"
#include "helper/publish.h"

/* Sockets of all other generations' processes: what nobody else holds may be this one's. */
static void exclude_others(struct instance *instance, const struct generation *generation,
        const struct inode_set *rows, size_t *count)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		struct pid_set processes = {0};
		struct inode_set sockets = {0};
		size_t unreadable, in_flight;
		if (g != generation && tree_list(g->keeper, &processes) == 0 &&
		        audit_sockets(&processes, &sockets, &unreadable, &in_flight) == 0) {
			size_t theirs = audit_join(rows, &sockets);
			*count -= theirs < *count ? theirs : *count;
		}
		inode_set_deinit(&sockets);
		pid_set_deinit(&processes);
	}
}

/*
 * The connections on its listeners, whoever holds them.  `peers`: also all UDP sockets with a peer,
 * if it serves datagrams; to be joined with what is known to be its own.
 */
static int list_connections(struct instance *instance, const struct generation *generation,
        const struct inode_set *own, bool peers, struct inode_set *ret_rows, bool *ret_internal)
{
	size_t ports = 0, listeners = 0;
	bool datagrams = false;
	uint32_t count = instance->store.count;
	struct audit_port *port = calloc(count + 1, sizeof(*port));
	uint64_t *inodes = calloc(count + 1, sizeof(*inodes));
	int result = port && inodes ? 0 : -ENOMEM;
	for (uint32_t i = 0; i < count && result == 0; i++) {
		const struct listener *listener = instance_listener(instance, i);
		if (!generation->holds[i])
			continue;
		if (identity_is_datagram(&listener->identity))
			datagrams |= identity_is_inet(&listener->identity);
		else if (identity_is_inet(&listener->identity))
			port[ports++] = listener_port(listener);
		else
			inodes[listeners++] = listener->inode;
	}
	if (result == 0 && ports)
		result = audit_connections(port, ports, ret_rows);
	if (result == 0 && listeners)
		result = audit_unix_connections(inodes, listeners, own, ret_rows, ret_internal);
	if (result == 0 && datagrams && peers)
		result = audit_datagram_peers(ret_rows);
	free(port);
	free(inodes);
	return result;
}

/*
 * What has been read from a datagram socket and not been answered yet the kernel does not know.  A
 * resolver waits five seconds before it asks again (resolv.conf(5), RES_TIMEOUT): so long the old
 * generation may still send.
 */
static const nanoseconds DATAGRAM_PATIENCE = 5 * SECOND;
/* While all others wait, whose datagrams the socket's buffer has little room for. */
static const nanoseconds DATAGRAM_PATIENCE_YIELDING = 200 * MILLISECOND;

static bool may_answer_later(const struct generation *generation)
{
	nanoseconds patience = generation->yields ? DATAGRAM_PATIENCE_YIELDING : DATAGRAM_PATIENCE;
	return generation->drain_began && now() - generation->drain_began < patience &&
	       generation_datagrams(generation) > 0;
}

/* `eager`: somebody waits for the number; else what is old may stand for a while. */
static int count(
        struct instance *instance, struct generation *generation, bool eager, bool *ret_quiet)
{
	struct pid_set processes = {0};
	struct inode_set rows = {0}, sockets = {0};
	size_t unreadable = 0, in_flight = 0;
	bool internal = false;
	nanoseconds began = now();
	int result = tree_list(generation->keeper, &processes);
	struct glance glance = glance_at(generation, &processes);
	if (result == 0 && (glance_holds(generation, &glance) ||
	                           (!eager && !glance_is_due(generation, &glance)))) {
		*ret_quiet = false;
		pid_set_deinit(&processes);
		return 0;
	}
	/*
	 * Processes first, then their sockets, then the connections: one that is accepted, or
	 * passed on, in between is seen in the next round; empty counts only twice in a row.
	 */
	if (result == 0)
		result = audit_sockets(&processes, &sockets, &unreadable, &in_flight);
	if (result == 0)
		result = list_connections(
		        instance, generation, &sockets, !unreadable, &rows, &internal);
	if (result == 0) {
		size_t count = audit_join(&rows, &sockets);
		if (unreadable) { /* what nobody else is seen to hold may be theirs */
			count = rows.count;
			exclude_others(instance, generation, &rows, &count);
		}
		generation->connections = count;
		generation->audited = true;
		generation->talks_to_itself |= internal;
		glance_counted(generation, &glance, now() - began);
	}
	/* Who sleeps in accept() at a listener that is kept open for the services does so for ever. */
	bool may_sleep = generation->talks_to_itself && !generation->deserted;
	*ret_quiet = result == 0 && !generation->connections && !in_flight &&
	             (may_sleep || !generation_inflight(generation)) &&
	             !may_answer_later(generation);
	inode_set_deinit(&rows);
	inode_set_deinit(&sockets);
	pid_set_deinit(&processes);
	return result;
}

int drain_count(struct instance *instance, struct generation *generation, bool *ret_quiet)
{
	return count(instance, generation, true, ret_quiet);
}

/* ---- listeners that no later generation wants ---- */

static bool is_left_behind(
        struct instance *instance, const struct generation *generation, uint32_t i)
{
	if (!generation->holds[i] || instance_listener(instance, i)->state == LISTENER_GONE)
		return false;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g != generation && g->holds[i])
			return false;
	return true;
}

void drain_refuse(struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(generation->instance, i);
	/* The gate first: from now on the shim knows what EINVAL means here. */
	if (gate_get(generation, i) == MOULT_GATE_OPEN)
		gate_set(generation, i, MOULT_GATE_OPEN | MOULT_GATE_ENDING);
	listener_refuse(listener);
}

/*
 * The services of one daemon find each other by UNIX sockets (a login process asks for the password,
 * then for somebody to serve the mailbox): those must not vanish under clients that are still there.
 */
bool drain_needs(const struct generation *generation, uint32_t i)
{
	const struct listener *listener = instance_listener(generation->instance, i);
	return generation->holds[i] && generation->talks_to_itself && !generation->deserted &&
	       !identity_is_inet(&listener->identity);
}

/*
 * It began to listen while it served, for one of the clients it still has, as FTP's passive mode
 * does in servers of a single process: the client may be on its way there.
 */
static bool is_for_a_client(const struct generation *generation, const struct listener *listener)
{
	return listener->late && generation->connections > 0 && !generation->deserted;
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
		        !is_left_behind(instance, generation, i))
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
		char name[LISTENER_TEXT];
		listener_print(listener, name, sizeof(name));
		log_notice("generation %u: %s retired", generation->id, name);
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
		tree_list(generation->keeper, &left);
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

static void look(void *context)
{
	struct generation *generation = context;
	struct instance *instance = generation->instance;
	bool quiet = false;
	size_t before = generation->connections;
	if (now() >= generation->drain_deadline)
		generation->deserted = true;
	bool retired = retire_left_behind(instance, generation);
	nanoseconds began = now();
	int result = count(instance, generation, false, &quiet);
	if (result < 0)
		log_debug("generation %u: cannot count its connections (%d), trying again",
		        generation->id, result);
	if (quiet && generation->talks_to_itself && !generation->deserted) {
		generation->deserted = true; /* what it has kept for itself retires first */
		quiet = false;
	}
	generation->empty_in_a_row = quiet && retired ? generation->empty_in_a_row + 1 : 0;
	if (generation->connections != before)
		control_progress("generation %u: draining, %zu connections", generation->id,
		        generation->connections);
	if (now() >= generation->drain_deadline)
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
	nanoseconds cost = now() - began;
	bool soon =
	        generation_open_hint(generation) == 0 || now() - generation->drain_began < SECOND;
	nanoseconds pause = (soon ? 20 : 200) * MILLISECOND;
	if (pause < 20 * cost && !(glance_paces(generation) && cost >= generation->count_cost))
		pause = 20 * cost;
	if (!retired && pause > 20 * MILLISECOND) /* clients wait to be refused */
		pause = 20 * MILLISECOND;
	if (generation->empty_in_a_row)
		pause = 5 * MILLISECOND;
	if (generation->drain_deadline != NEVER && pause > generation->drain_deadline - now())
		pause = generation->drain_deadline > now() ? generation->drain_deadline - now() : 0;
	loop_after(&generation->drain, pause);
}

static void begin(struct instance *instance, struct generation *generation, nanoseconds timeout)
{
	bool quiet;
	generation->state = GENERATION_DRAINING;
	generation->drain_began = now();
	generation->drain_deadline = after(timeout);
	generation->empty_in_a_row = 0;
	generation->drain.fire = look;
	generation->drain.context = generation;
	drain_count(instance, generation, &quiet);
	refuse_left_behind(instance, generation);
	if (generation->yields) {
		char time[32] = "as long as it takes";
		if (timeout != NEVER)
			duration_print(timeout, time, sizeof(time));
		log_notice("generation %u: draining, %zu connections (%s); new ones wait in the "
		           "queue",
		        generation->id, generation->connections, time);
	} else
		log_notice("generation %u: draining, %zu connections", generation->id,
		        generation->connections);
	if (generation->settings.drain_signal)
		tree_signal_children(generation->keeper, generation->settings.drain_signal);
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
	generation->deserted = false;
	generation->state = GENERATION_CURRENT;
}
