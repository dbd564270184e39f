/* SPDX-License-Identifier: MIT */
/* After a switch: who still waits on a listener that is not his? */
#include "helper/crowd.h"

#include "helper/audit.h"
#include "helper/poke.h"

/* Entries that a poke or two per round does not shake off belong to a stopped process. */
enum { POKING_ROUNDS = 40, POKES_A_ROUND = 16 };

/* The processes of every generation but the one that accepts. */
static int others_list(
        struct instance *instance, const struct generation *acceptor, struct pid_set *processes)
{
	int result = 0;
	for (struct generation *g = instance->newest; g && result == 0; g = g->older)
		if (g != acceptor)
			result = tree_list(g->keeper, processes);
	return result;
}

/* True while `listener` stays crowded. */
static bool check(struct instance *instance, struct generation *acceptor, uint32_t i,
        const struct pid_set *others)
{
	struct listener *listener = instance_listener(instance, i);
	size_t entries = 0, exclusive = 0;
	if (audit_registrations(others, listener->inode, &entries, &exclusive) < 0)
		return true;
	if (entries == 0) {
		/* The daemon's own accepts read the word only: a plain store loses nothing. */
		gate_set(acceptor, i, MOULT_GATE_OPEN);
		generation_tell(acceptor);
		return false;
	}
	/*
	 * An exclusive old entry and a blocked accept() of the new one: a connection would wake the
	 * old one only.  Pokes make it look, and take itself out.  In all other cases the new one
	 * is woken as well, and the old one goes with the next connection.
	 */
	bool blocks = !atomic_load(&acceptor->page->gate[i].nonblock);
	for (size_t n = 0; blocks && n < exclusive && n < POKES_A_ROUND; n++)
		if (instance->crowd_rounds < POKING_ROUNDS)
			poke_send(listener, instance->newest);
	return true;
}

static void look(void *context)
{
	struct instance *instance = context;
	nanoseconds began = now();
	bool crowded = false;
	struct pid_set others = {0};
	struct generation *last = NULL;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct generation *acceptor = instance_acceptor(instance, i);
		if (!acceptor || !(atomic_load(&acceptor->page->gate[i].word) & MOULT_GATE_CROWDED))
			continue;
		if (acceptor != last) {
			pid_set_deinit(&others);
			if (others_list(instance, acceptor, &others) < 0)
				break;
			last = acceptor;
		}
		crowded |= check(instance, acceptor, i, &others);
	}
	pid_set_deinit(&others);
	crowded |= poke_reap(instance->newest);
	if (!crowded)
		return;
	/* Reading the lists of an epoll with many entries costs: 5 % of a core at most. */
	nanoseconds cost = now() - began;
	instance->crowd_rounds++;
	instance->crowd_delay = instance->crowd_delay * 3 / 2;
	if (instance->crowd_delay > SECOND)
		instance->crowd_delay = SECOND;
	if (instance->crowd_delay < 20 * cost)
		instance->crowd_delay = 20 * cost;
	loop_after(&instance->crowd, instance->crowd_delay);
}

void crowd_begin(struct instance *instance)
{
	instance->crowd_delay = MILLISECOND;
	instance->crowd_rounds = 0;
	instance->crowd.fire = look;
	instance->crowd.context = instance;
	loop_after(&instance->crowd, instance->crowd_delay);
}
