/* SPDX-License-Identifier: MIT */
/* After a switch: which processes of other generations still wait on a listener? */
#include "helper/switch/crowd.h"

#include "helper/kernel/descriptors.h"
#include "helper/kernel/tree.h"
#include "helper/switch/poke.h"

/* An entry that is still there after so many rounds of pokes belongs to a stopped process. */
enum { POKING_ROUNDS = 40, POKES_A_ROUND = 16 };

/* Adds the processes of every generation but `acceptor`.  0 or -errno. */
static int others_list(
        struct instance *instance, const struct generation *acceptor, struct pid_set *processes)
{
	int result = 0;
	for (struct generation *g = instance->newest; g && result == 0; g = g->older)
		if (g != acceptor)
			result = tree_list(g->keeper, processes);
	return result;
}

static bool is_crowded(const struct generation *acceptor, uint32_t i)
{
	return gate_word(acceptor, i) & MOULT_GATE_CROWDED;
}

/*
 * If the acceptor blocks in accept() and an old generation has an exclusive epoll entry, a
 * connection would wake the old generation only.  A poke wakes the old generation, whose shim then
 * removes the entry.  In all other cases a connection wakes the acceptor as well, and the old entry
 * goes with the next connection.
 */
static void poke_exclusive(
        struct instance *instance, const struct generation *acceptor, uint32_t i, size_t exclusive)
{
	bool blocks = !generation_nonblock(acceptor, i);
	for (size_t n = 0; blocks && n < exclusive && n < POKES_A_ROUND; n++)
		if (instance->crowd_rounds < POKING_ROUNDS)
			(void)poke_send(instance_listener(instance, i), instance->newest);
}

static bool has_crowded(struct instance *instance, const struct generation *generation)
{
	for (uint32_t i = 0; i < instance->store.count; i++)
		if (generation->holds[i] && is_crowded(generation, i) &&
		        gate_get(generation, i) == MOULT_GATE_OPEN)
			return true;
	return false;
}

/*
 * What the child has found for each listener: not looked at; no entry of another generation; at
 * least one such entry.  SOMEBODY + N: N of these entries are exclusive, POKES_A_ROUND at most.
 */
enum { NOT_SEEN, NOBODY, SOMEBODY };

struct found {
	uint8_t at[MOULT_LISTENERS];
};

static void look_for(
        struct instance *instance, const struct generation *acceptor, struct found *found)
{
	struct pid_set others = {0};
	uint32_t count = 0;
	struct audit_registration *rows = calloc(instance->store.count + 1, sizeof(*rows));
	for (uint32_t i = 0; i < instance->store.count && rows; i++)
		if (acceptor->holds[i] && is_crowded(acceptor, i))
			rows[count++].inode = instance_listener(instance, i)->inode;
	if (!rows || others_list(instance, acceptor, &others) < 0 ||
	        audit_registrations(&others, rows, count) < 0)
		return; /* the memory goes when the child ends */
	for (uint32_t n = 0; n < count; n++) {
		int i = fdstore_find_inode(&instance->store, rows[n].inode);
		size_t exclusive = rows[n].exclusive;
		if (i >= 0)
			found->at[i] =
			        !rows[n].count
			                ? NOBODY
			                : (uint8_t)(SOMEBODY + (exclusive < POKES_A_ROUND
			                                                       ? exclusive
			                                                       : POKES_A_ROUND));
	}
}

/* Runs in the child. */
static int look_at_all(const void *context, void *answer)
{
	struct instance *instance = *(struct instance *const *)context;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (has_crowded(instance, g))
			look_for(instance, g, answer);
	return 0;
}

/*
 * Acts on what the child has found.  Only called if no later switch has begun a look of its own:
 * see looked().  True: processes of other generations still wait on a listener.
 */
static bool apply(struct instance *instance, struct generation *acceptor, const struct found *found)
{
	bool crowded = false;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		if (!acceptor->holds[i] || !is_crowded(acceptor, i) ||
		        gate_get(acceptor, i) != MOULT_GATE_OPEN)
			continue;
		crowded |= found->at[i] != NOBODY;
		if (found->at[i] >= SOMEBODY)
			poke_exclusive(instance, acceptor, i, found->at[i] - (size_t)SOMEBODY);
		/* The shim only reads the word: this store overwrites no change of the shim's. */
		if (found->at[i] == NOBODY)
			gate_set(acceptor, i, MOULT_GATE_OPEN);
	}
	generation_tell(acceptor);
	return crowded;
}

/*
 * Reading the lists of an epoll instance with many entries takes long.  A pause of 20 times the
 * cost of the last look keeps this below 5 % of a core.
 */
static void look_later(struct instance *instance, nanoseconds cost)
{
	instance->crowd_rounds++;
	instance->crowd_delay = instance->crowd_delay * 3 / 2;
	if (instance->crowd_delay > SECOND)
		instance->crowd_delay = SECOND;
	if (instance->crowd_delay < 20 * cost)
		instance->crowd_delay = 20 * cost;
	loop_after(&instance->crowd, instance->crowd_delay);
}

static void looked(void *context, const void *answer)
{
	static const struct found nothing;
	struct instance *instance = context;
	bool crowded = false;
	if (instance->crowd.armed) /* a later switch looks again: this answer is old */
		return;
	for (struct generation *g = instance->newest; g; g = g->older)
		if (has_crowded(instance, g))
			crowded |= apply(instance, g, answer ? answer : &nothing);
	crowded |= poke_reap(instance->newest);
	if (crowded)
		look_later(instance, now() - instance->crowd_look.began);
}

static void look(void *context)
{
	struct instance *instance = context;
	bool crowded = false;
	for (struct generation *g = instance->newest; g; g = g->older)
		crowded |= has_crowded(instance, g);
	if (crowded && errand_begin(&instance->crowd_look, look_at_all, &instance,
	                       sizeof(struct found), looked, instance) == 0)
		return;
	if (poke_reap(instance->newest) || crowded)
		look_later(instance, 0);
}

void crowd_begin(struct instance *instance)
{
	instance->crowd_delay = MILLISECOND;
	instance->crowd_rounds = 0;
	instance->crowd.fire = look;
	instance->crowd.context = instance;
	loop_after(&instance->crowd, instance->crowd_delay);
}
