/* SPDX-License-Identifier: MIT */
/* The connections that a generation may still have. */
#include "helper/state/remains.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A datagram that was read before the gate closed may get a socket of its own later, such as a
 * transfer of TFTP.
 */
static const nanoseconds SETTLING = 5 * SECOND;

/* A million connections are 8 MB; a larger set is not kept, so that all connections count. */
enum { SET_MAX = 8 << 20 };

static bool accepts_no_more(struct generation *generation)
{
	const struct instance *instance = generation->instance;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		if (!generation->holds[i])
			continue;
		if (gate_get(generation, i) == MOULT_GATE_OPEN)
			return false;
		if (identity_is_datagram(&instance->store.listeners[i].identity) &&
		        (!generation->drain_began || now() - generation->drain_began < SETTLING))
			return false;
	}
	return !generation_inflight(generation);
}

struct remains_moment remains_prepare(struct generation *generation)
{
	for (struct generation *g = generation->instance->newest; g; g = g->older) {
		struct remains *remains = &g->survey.remains;
		remains->is_valid = remains->is_known && remains->since.openings == g->openings &&
		                    remains->since.accepted == generation_accepted(g);
	}
	return (struct remains_moment){.accepted = generation_accepted(generation),
	        .openings = generation->openings,
	        .is_final = accepts_no_more(generation)};
}

void remains_narrow(const struct generation *generation, const struct remains_moment *moment,
        struct inode_set *connections)
{
	if (moment->is_final && generation->survey.remains.is_valid)
		inode_set_filter(connections, &generation->survey.remains.set, true);
	/* Without the parcel the launcher forgets the set, and the next number is larger. */
	if (moment->is_final)
		(void)errand_pack(
		        connections->inodes, connections->count * sizeof(*connections->inodes));
	/* A number to show: what may belong to an older generation is counted there. */
	if (generation_is_replaced(generation))
		return;
	for (const struct generation *g = generation->older; g; g = g->older)
		if (g->survey.remains.is_valid)
			inode_set_filter(connections, &g->survey.remains.set, false);
}

static bool read_set(int parcel, struct inode_set *set)
{
	struct stat status;
	size_t size, at = 0;
	if (parcel < 0 || fstat(parcel, &status) < 0 || status.st_size > SET_MAX)
		return false;
	size = (size_t)status.st_size;
	set->count = set->allocated = size / sizeof(*set->inodes);
	set->inodes = malloc(size + 1);
	while (set->inodes && at < size) {
		ssize_t length = pread(parcel, (char *)set->inodes + at, size - at, (off_t)at);
		if (length <= 0)
			return false;
		at += (size_t)length;
	}
	return set->inodes;
}

void remains_take(struct generation *generation, const struct remains_moment *moment, int parcel)
{
	struct remains *remains = &generation->survey.remains;
	struct inode_set set = {0};
	bool is_known = moment->is_final && read_set(parcel, &set);
	inode_set_deinit(&remains->set);
	*remains = (struct remains){.set = set, .is_known = is_known, .since = *moment};
	if (!is_known)
		inode_set_deinit(&remains->set);
}
