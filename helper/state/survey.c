/* SPDX-License-Identifier: MIT */
/* The survey of a generation: its processes, connections and listeners. */
#include "helper/state/survey.h"

#include <errno.h>
#include <string.h>

#include "helper/kernel/audit.h"
#include "helper/kernel/descriptors.h"
#include "helper/state/glance.h"
#include "helper/state/remains.h"

/*
 * How long the loop waits for an answer.  PATIENCE is enough for an ordinary daemon.  The loop
 * waits at most 5 % (1 / SHARE) of the time for each generation, however often its processes make
 * the launcher ask; ALLOWANCE may be used up at once.
 */
static const nanoseconds PATIENCE = 150 * MILLISECOND;
static const nanoseconds ALLOWANCE = 450 * MILLISECOND;
enum { SHARE = 20 };
/* The pause after a count that did not end in time. */
static const nanoseconds REST = 30 * SECOND;
/* How long a listener that no process held counts as not held. */
static const nanoseconds FRESH = 2 * SECOND;

static void wait_for(struct survey *survey, struct errand *errand)
{
	nanoseconds began = now(), paid = (began - survey->waited_at) / SHARE;
	survey->waited = survey->waited > paid ? survey->waited - paid : 0;
	survey->waited_at = began;
	nanoseconds left = ALLOWANCE - survey->waited;
	errand_wait(errand, left < PATIENCE ? left : PATIENCE);
	survey->waited += now() - began;
}

/* ---- connections ---- */

struct count_question {
	struct instance *instance;
	struct generation *generation;
	uint64_t counters;
	struct remains_moment moment;
	bool eager;
};

struct count {
	bool is_new;  /* false: the old number stands */
	bool is_late; /* the old number stands only because it is too soon for a new count */
	bool in_flight, internal, about;
	struct remains_moment moment;
	size_t processes, connections;
	uint64_t out_of_sight;
	unsigned looks;
	struct glance glance;
	nanoseconds cost, paused; /* the cost is without the pauses */
};

/* Removes the connections that processes of other generations hold. */
static void leave_out_others(struct instance *instance, const struct generation *generation,
        struct inode_set *connections)
{
	for (struct generation *g = instance->newest; g; g = g->older) {
		struct pid_set processes = {0};
		struct inode_set sockets = {0};
		size_t unreadable = 0, in_flight = 0;
		if (g != generation && tree_list(g->keeper, &processes) == 0 &&
		        audit_sockets(&processes, &sockets, &unreadable, &in_flight) == 0)
			inode_set_filter(connections, &sockets, false);
		inode_set_deinit(&sockets);
		pid_set_deinit(&processes);
	}
}

/*
 * Lists the connections on the generation's listeners, by whatever process they are held.
 * *ret_peers: if the generation serves datagrams, all UDP sockets with a peer, of which only those
 * count that its processes hold.  0 or -errno.
 */
static int list_connections(struct instance *instance, const struct generation *generation,
        const struct inode_set *own, bool is_all, struct inode_set *ret_rows,
        struct inode_set *ret_peers, bool *ret_internal)
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
		result = audit_unix_connections(
		        inodes, listeners, own, is_all, ret_rows, ret_internal);
	if (result == 0 && datagrams)
		result = audit_datagram_peers(ret_peers);
	free(port);
	free(inodes);
	return result;
}

/*
 * How often connections without a known holder are looked for again.
 *
 * The child looks at processes one after the other.  A connection that changes hands meanwhile (by
 * descriptor passing or a fork) may be missed in all of them, any number of times.  The kernel
 * lists the connection all the same, and every connection has a holder.  So the child looks again
 * for those that no generation is seen to hold.  The pauses between the looks grow by a
 * millisecond, so that they do not keep step with the processes that pass a connection on.  20
 * looks take 0.2 s.  A connection that is not found even then is out of sight: another program has
 * it, on the same port of another address or in another PID namespace.
 *
 * Where a look takes long, as on a busy machine, a count ends before that, and the next count goes
 * on with the search.  Until the search is over the connections count as the generation's.
 */
enum { SEARCHES = 20 };
static const nanoseconds SEARCHING = SECOND; /* the longest search of one count */

static nanoseconds pause_before(int search)
{
	nanoseconds pause = search * MILLISECOND;
	nap(pause);
	return pause;
}

/* A hash of the set; 0: it is empty. */
static uint64_t hash_of(const struct inode_set *set)
{
	uint64_t hash = set->count;
	for (size_t i = 0; i < set->count; i++)
		hash = (hash ^ set->inodes[i]) * UINT64_C(0x9e3779b97f4a7c15);
	return hash;
}

/*
 * Some processes cannot be looked at: they may have every connection that no other generation is
 * seen to have.  Also the UDP sockets with a peer, once no further ones can become theirs.
 */
static int count_unseen(const struct count_question *question, struct inode_set *rows,
        const struct inode_set *peers)
{
	int result = 0;
	for (size_t i = 0; i < peers->count && question->moment.is_final && result == 0; i++)
		result = inode_set_add(rows, peers->inodes[i]);
	inode_set_sort(rows);
	leave_out_others(question->instance, question->generation, rows);
	remains_narrow(question->generation, &question->moment, rows);
	return result;
}

static int count_connections(const struct count_question *question, struct count *count)
{
	struct instance *instance = question->instance;
	const struct generation *generation = question->generation;
	struct inode_set lost = {0};
	nanoseconds began = now();
	for (int i = 0;; i++) {
		struct pid_set processes = {0};
		struct inode_set rows = {0}, peers = {0}, sockets = {0};
		size_t unreadable = 0, in_flight = 0;
		int result = tree_list(generation->keeper, &processes);
		if (result == 0)
			result = audit_sockets(&processes, &sockets, &unreadable, &in_flight);
		if (result == 0)
			result = list_connections(instance, generation, &sockets, !unreadable,
			        &rows, &peers, &count->internal);
		if (result < 0)
			return result;
		count->in_flight = in_flight > 0;
		count->connections = audit_join(&rows, &sockets);
		if (i == 0)
			lost = rows;
		else
			inode_set_filter(&lost, &rows, true);
		count->about = unreadable;
		if (unreadable)
			result = count_unseen(question, &rows, &peers);
		if (result < 0)
			return result;
		count->connections =
		        unreadable ? rows.count : count->connections + audit_join(&peers, &sockets);
		if (count->connections || in_flight || unreadable ||
		        !generation_is_replaced(generation))
			break;
		if (i == 0)
			leave_out_others(instance, generation, &lost);
		const struct survey *survey = &generation->survey;
		count->out_of_sight = hash_of(&lost);
		count->looks = (unsigned)i + 1;
		if (count->out_of_sight == survey->out_of_sight) /* looked for before */
			count->looks += survey->looks;
		if (!lost.count || count->looks > SEARCHES)
			break;
		if (now() - began > SEARCHING) {
			count->connections = lost.count;
			break;
		}
		if (i) /* the first `rows` live on as `lost` */
			inode_set_deinit(&rows);
		inode_set_deinit(&sockets);
		inode_set_deinit(&peers);
		pid_set_deinit(&processes);
		count->paused += pause_before(i + 1);
	}
	count->is_new = true;
	return 0;
}

/* Runs in the child, which frees nothing: its memory goes when it ends. */
static int look_and_count(const void *context, void *answer)
{
	const struct count_question *question = context;
	const struct generation *generation = question->generation;
	struct count *count = answer;
	struct pid_set processes = {0};
	nanoseconds began = now();
	int result = tree_list(generation->keeper, &processes);
	if (result < 0)
		return result;
	count->processes = processes.count;
	count->moment = question->moment;
	count->glance = glance_at(question->counters, &processes);
	bool stands = glance_holds(generation, &count->glance);
	count->is_late = !stands && !question->eager && !glance_is_due(generation, &count->glance);
	if (!stands && !count->is_late)
		result = count_connections(question, count);
	count->cost = now() - began - count->paused;
	return result;
}

static void counted(void *context, const void *answer)
{
	struct generation *generation = context;
	struct survey *survey = &generation->survey;
	const struct count *count = answer;
	bool wanted = survey->is_wanted;
	survey->is_wanted = survey->is_empty = false;
	survey->cost = count ? count->cost : now() - survey->counting.began;
	generation->count_is_old = !count;
	if (!count)
		survey->rests_until = after(REST);
	else
		generation->processes = count->processes;
	if (count && count->is_new) {
		generation->connections = count->connections;
		generation->audited = true;
		survey->is_about = count->about;
		remains_take(generation, &count->moment, survey->counting.parcel);
		survey->out_of_sight = count->out_of_sight;
		survey->looks = count->looks;
		generation->talks_to_itself |= count->internal;
		glance_counted(generation, &count->glance, count->cost);
		survey->is_empty = !count->connections && !count->in_flight;
	}
	/* A caller that waits has come meanwhile. */
	if (count && count->is_late && wanted && survey_begin(generation, true) == 0)
		return;
	survey->has_ended = true;
	generation->instance->surveyed(generation);
}

int survey_begin(struct generation *generation, bool eager)
{
	struct survey *survey = &generation->survey;
	struct count_question question = {
	        .instance = generation->instance,
	        .generation = generation,
	        .eager = eager,
	};
	if (now() < survey->rests_until)
		return -EAGAIN;
	survey->is_wanted |= eager;
	if (survey->counting.running)
		return survey->counting.overdue ? -EAGAIN : 0;
	question.counters = glance_counters(generation);
	question.moment = remains_prepare(generation);
	int result = errand_begin(&survey->counting, look_and_count, &question,
	        sizeof(struct count), counted, generation);
	if (result < 0)
		generation->count_is_old = true;
	return result;
}

void survey_hurry(struct generation *generation)
{
	if (survey_begin(generation, true) == 0)
		wait_for(&generation->survey, &generation->survey.counting);
}

bool survey_is_uncertain(const struct generation *generation)
{
	return !generation->audited || generation->count_is_old ||
	       generation->survey.counting.running;
}

const char *survey_about(const struct generation *generation)
{
	return generation->survey.is_about ? "about " : "";
}

bool survey_take(struct generation *generation, nanoseconds since, bool *ret_empty)
{
	struct survey *survey = &generation->survey;
	bool ended = survey->has_ended && survey->counting.began >= since;
	*ret_empty = ended && survey->is_empty;
	survey->has_ended = survey->is_empty = false;
	return ended;
}

/* ---- listeners ---- */

struct abandoned {
	uint8_t bits[MOULT_LISTENERS / 8];
};

/*
 * Runs in the child.  Marks the listeners that no process holds.  Marks none if a process cannot be
 * looked at or a descriptor is in flight: that may be any listener.
 */
static int look_for_listeners(const void *context, void *answer)
{
	const struct generation *generation = *(struct generation *const *)context;
	const struct fdstore *store = &generation->instance->store;
	struct abandoned *abandoned = answer;
	struct pid_set processes = {0};
	struct inode_set sockets = {0};
	size_t unreadable = 0, in_flight = 0;
	int result = tree_list(generation->keeper, &processes);
	if (result == 0)
		result = audit_sockets(&processes, &sockets, &unreadable, &in_flight);
	if (result < 0 || unreadable || in_flight)
		return result;
	for (uint32_t i = 0; i < store->count; i++)
		if (generation->holds[i] && !inode_set_has(&sockets, store->listeners[i].inode))
			abandoned->bits[i / 8] |= (uint8_t)(1u << i % 8);
	return 0;
}

static void looked(void *context, const void *answer)
{
	struct generation *generation = context;
	const struct abandoned *abandoned = answer;
	memset(generation->survey.abandoned, 0, sizeof(generation->survey.abandoned));
	if (abandoned)
		memcpy(generation->survey.abandoned, abandoned->bits, sizeof(abandoned->bits));
	generation->survey.looked_at = now();
}

static bool is_abandoned(const struct generation *generation, uint32_t i)
{
	const struct survey *survey = &generation->survey;
	return survey->abandoned[i / 8] & (1u << i % 8) && now() - survey->looked_at < FRESH;
}

static bool are_abandoned(const struct generation *generation)
{
	for (uint32_t i = 0; i < generation->instance->store.count; i++)
		if (generation->holds[i] && !is_abandoned(generation, i))
			return false;
	return true;
}

static void look_again(struct generation *generation)
{
	struct survey *survey = &generation->survey;
	if (!survey->holding.running)
		(void)errand_begin(&survey->holding, look_for_listeners, &generation,
		        sizeof(struct abandoned), looked, generation); /* on failure: held */
	wait_for(survey, &survey->holding);
}

bool survey_holds(struct generation *generation, uint32_t i)
{
	if (!is_abandoned(generation, i))
		look_again(generation);
	if (!is_abandoned(generation, i))
		return true;
	/* Said once: the caller may give the listener to the generation again. */
	generation->survey.abandoned[i / 8] &= (uint8_t) ~(1u << i % 8);
	return false;
}

bool survey_holds_any(struct generation *generation)
{
	if (!are_abandoned(generation))
		look_again(generation);
	return !are_abandoned(generation);
}

bool survey_is_looking(const struct generation *generation)
{
	return generation->survey.holding.running && !generation->survey.holding.overdue;
}
