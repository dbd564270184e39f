/* SPDX-License-Identifier: MIT */
/* The end of a listener. */
#include "helper/lifecycle/retire.h"

#include "helper/base/log.h"
#include "helper/kernel/diag.h"
#include "helper/requests/publish.h"
#include "helper/state/survey.h"
#include "helper/switch/moves.h"

/*
 * Will no other generation serve this listener?
 *
 * If no generation serves and the instance goes on, the next generation may serve the listener:
 * clients wait for it in the queue.  Another holder that drains does not count, because it does not
 * get the listener back.  If the gate of that holder is open, the holder retires the listener.
 */
static bool is_left_behind(
        struct instance *instance, const struct generation *generation, uint32_t i)
{
	bool another_comes = !instance->current && !instance_is_ending(instance);
	if (!generation->holds[i] || another_comes || instance_leaves(instance, i) ||
	        instance_listener(instance, i)->state == LISTENER_GONE)
		return false;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (g != generation && g->holds[i] &&
		        (generation_may_bind(g) || gate_get(g, i) == MOULT_GATE_OPEN))
			return false;
	return true;
}

void retire_refuse(struct generation *generation, uint32_t i)
{
	struct listener *listener = instance_listener(generation->instance, i);
	/* The mark on the gate comes first: the shim must know what EINVAL of accept() means. */
	if (gate_get(generation, i) == MOULT_GATE_OPEN) {
		gate_set(generation, i, MOULT_GATE_OPEN | MOULT_GATE_ENDING);
		generation_tell(generation);
	}
	listener_refuse(listener);
}

/*
 * The services of one daemon reach each other by UNIX sockets.  Example: a login process asks the
 * authentication service, then the mailbox service.  These sockets must stay while clients are
 * left.
 */
bool retire_is_needed(const struct generation *generation, uint32_t i)
{
	const struct listener *listener = instance_listener(generation->instance, i);
	bool may_talk = generation->talks_to_itself || survey_is_uncertain(generation);
	return generation->holds[i] && may_talk && !generation->deserted &&
	       !identity_is_inet(&listener->identity);
}

/*
 * Was the listener made for one client that is still connected?  Example: passive FTP in a server
 * of a single process.  The listener began while the generation served, and the client may be about
 * to connect.
 */
static bool is_for_a_client(const struct generation *generation, const struct listener *listener)
{
	bool may_have = generation->connections > 0 || survey_is_uncertain(generation);
	return listener->late && may_have && !generation->deserted;
}

/* Datagram sockets are left out: they are read until the generation ends; the close refuses. */
void retire_refuse_left_behind(struct instance *instance, struct generation *generation)
{
	bool any = false;
	if (generation->state == GENERATION_VACATING) /* the next generation will take them up */
		return;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		const struct listener *listener = instance_listener(instance, i);
		if (listener->state != LISTENER_LIVE || identity_is_datagram(&listener->identity) ||
		        retire_is_needed(generation, i) || is_for_a_client(generation, listener) ||
		        !is_left_behind(instance, generation, i) ||
		        moves_stays(instance, generation, i))
			continue;
		retire_refuse(generation, i);
		any = true;
	}
	if (any)
		publish_addresses(instance);
}

/*
 * Ends listeners without resetting a client.  First new clients are kept out: TCP drops their SYNs,
 * so they retry and are refused after the close.  Then this generation accepts what is queued.
 * Then its gate closes, and the socket after the gate.  Handshakes are read before queues: a
 * handshake that completes in between is then seen in the queue.  True when no such listener is
 * left open.
 */
bool retire_left_behind(struct instance *instance, struct generation *generation)
{
	struct port_set handshakes;
	bool done = true, known = false;
	retire_refuse_left_behind(instance, generation);
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

/* ---- listeners that no generation holds ---- */

static struct timer unheld_timer;

static void retire_unheld_later(void *context)
{
	retire_unheld(context);
}

void retire_unheld(struct instance *instance)
{
	bool awaited = false;
	if (!instance->current || instance_is_busy(instance) || instance_is_ending(instance))
		return;
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (moves_are_awaited(instance, i))
			awaited = true;
		else if (instance_is_unheld(instance, i))
			listener_close(instance_listener(instance, i));
	publish_addresses(instance);
	if (awaited && instance->retire_at != NEVER) {
		unheld_timer.fire = retire_unheld_later;
		unheld_timer.context = instance;
		loop_after(&unheld_timer, instance->retire_at - now());
	}
}
