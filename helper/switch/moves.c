/* SPDX-License-Identifier: MIT */
/* After the first switch: listeners that the current generation has not taken over yet. */
#include "helper/switch/moves.h"

#include <stdio.h>
#include <string.h>

#include "helper/base/log.h"
#include "helper/base/units.h"
#include "helper/switch/switch.h"

static const nanoseconds SHORTEST = MILLISECOND / 4, LONGEST = 10 * MILLISECOND;

bool moves_are_over(const struct instance *instance)
{
	return now() >= instance->retire_at && !instance_is_warming(instance);
}

nanoseconds moves_time_left(const struct instance *instance)
{
	nanoseconds left = instance->retire_at - now();
	if (instance->retire_at == NEVER)
		return NEVER;
	return left <= SECOND ? left : (left + SECOND - 1) / SECOND * SECOND;
}

static bool is_late(const struct generation *current, uint32_t i)
{
	return current->holds[i] && gate_get(current, i) == MOULT_GATE_WARMING;
}

static bool are_any_late(struct instance *instance)
{
	for (uint32_t i = 0; instance->current && i < instance->store.count; i++)
		if (is_late(instance->current, i))
			return true;
	return false;
}

void moves_now(struct instance *instance)
{
	struct generation *current = instance->current;
	char names[300];
	bool any = false;
	if (!current || instance->state == INSTANCE_PROBATION)
		return;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		if (!is_late(current, i))
			continue;
		/* The older generation is no longer kept alive for this listener: move it now. */
		if (moves_are_over(instance))
			current->trusted[i] = true;
		any |= switch_is_due(instance, current, i);
	}
	if (!any)
		return;
	static bool moved[MOULT_LISTENERS];
	for (uint32_t i = 0; i < instance->store.count; i++)
		moved[i] = switch_is_due(instance, current, i);
	instance_print_listeners(instance, moved, names, sizeof(names));
	nanoseconds waited = switch_to(instance, current);
	log_notice("generation %u: took over %s", current->id, names);
	log_debug("generation %u: last accept of others there after %lld us", current->id,
	        (long long)(waited / 1000));
}

static void look(void *context)
{
	struct instance *instance = context;
	moves_now(instance);
	if (!are_any_late(instance))
		return;
	instance->moves_delay = instance->moves_delay * 5 / 4;
	if (instance->moves_delay > LONGEST)
		instance->moves_delay = LONGEST;
	loop_after(&instance->moves, instance->moves_delay);
}

/* The first look is not at once: the daemon needs its answer before it can wait. */
void moves_expect(struct instance *instance)
{
	instance->moves_delay = SHORTEST;
	instance->moves.fire = look;
	instance->moves.context = instance;
	loop_after(&instance->moves, instance->moves_delay);
}

void moves_begin(struct instance *instance, nanoseconds retire_after)
{
	instance->retire_at = after(retire_after);
	if (are_any_late(instance))
		moves_expect(instance);
}

/*
 * Does the current generation serve another socket in the place of this one?  Either a wildcard
 * beside this address, or the same path bound anew.
 */
static bool is_replaced(struct instance *instance, uint32_t i)
{
	const struct generation *current = instance->current;
	const struct identity *identity = &instance_listener(instance, i)->identity;
	for (uint32_t j = 0; current && j < instance->store.count; j++) {
		const struct identity *other = &instance_listener(instance, j)->identity;
		if (current->holds[j] && gate_get(current, j) == MOULT_GATE_OPEN &&
		        (identity_overlaps(other, identity) ||
		                (j != i && identity_equal(other, identity))))
			return true;
	}
	return false;
}

/* Not a port that the kernel chose for one client (passive FTP). */
static bool is_public(const struct listener *listener)
{
	return listener->state == LISTENER_LIVE && !(listener->late && listener->ephemeral);
}

bool moves_is_for_clients(
        struct instance *instance, const struct generation *generation, uint32_t i)
{
	const struct listener *listener = instance_listener(instance, i);
	return is_public(listener) &&
	       (!generation->talks_to_itself || identity_is_inet(&listener->identity));
}

bool moves_stays(struct instance *instance, const struct generation *generation, uint32_t i)
{
	bool is_wanted = moves_is_for_clients(instance, generation, i) ||
	                 (is_public(instance_listener(instance, i)) && instance->current &&
	                         instance->current->holds[i]);
	return generation_is_replaced(generation) && generation->state != GENERATION_VACATING &&
	       !instance_is_ending(instance) && generation->holds[i] &&
	       gate_get(generation, i) == MOULT_GATE_OPEN && is_wanted &&
	       !moves_are_over(instance) && !is_replaced(instance, i);
}

bool moves_are_awaited(struct instance *instance, uint32_t i)
{
	return instance_is_unheld(instance, i) && !moves_are_over(instance) &&
	       !is_replaced(instance, i);
}

bool moves_any_stays(struct instance *instance, const struct generation *generation)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (moves_stays(instance, generation, i))
			return true;
	return false;
}

static void report(struct instance *instance, const bool *which, const char *where)
{
	char names[300], time[32];
	unsigned count = 0;
	for (uint32_t i = 0; i < instance->store.count; i++)
		count += which[i];
	if (!count)
		return;
	instance_print_listeners(instance, which, names, sizeof(names));
	duration_print(moves_time_left(instance), time, sizeof(time));
	log_notice("%u listener%s %s for up to %s: %s", count, count == 1 ? " stays" : "s stay",
	        where, time, names);
}

void moves_report(struct instance *instance)
{
	static bool which[MOULT_LISTENERS];
	char where[64];
	for (struct generation *g = instance->newest; g; g = g->older) {
		for (uint32_t i = 0; i < instance->store.count; i++)
			which[i] = moves_stays(instance, g, i);
		snprintf(where, sizeof(where), "with generation %u", g->id);
		report(instance, which, where);
	}
	for (uint32_t i = 0; i < instance->store.count; i++)
		which[i] = moves_are_awaited(instance, i);
	report(instance, which, "open, though no generation accepts there,");
}
