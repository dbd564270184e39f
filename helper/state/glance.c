/* SPDX-License-Identifier: MIT */
/* A cheap look at a generation. */
#include "helper/state/glance.h"

#include <stdio.h>
#include <sys/stat.h>

/* A count that takes no longer than this is repeated every time. */
static const nanoseconds CHEAP = 5 * MILLISECOND;

/*
 * An unchanged glance is trusted only so long.  The number of descriptors does not change if one
 * replaces another unseen by the shim.  Nor does it change when a connection is reset, which is
 * then no connection any more, but keeps its descriptor.
 */
static const nanoseconds TRUST = 10 * SECOND;

enum { FEW = 1000 };

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

uint64_t glance_counters(struct generation *generation)
{
	return mix(mix(0, generation_accepted(generation)), generation_open_hint(generation));
}

struct glance glance_at(uint64_t counters, const struct pid_set *processes)
{
	struct glance glance = {.signature = counters};
	for (size_t i = 0; i < processes->count; i++) {
		char path[32];
		struct stat status = {0};
		snprintf(path, sizeof(path), "/proc/%d/fd", processes->pids[i]);
		if (stat(path, &status) == 0)
			glance.descriptors += (uint64_t)status.st_size;
		glance.signature = mix(glance.signature, (uint64_t)processes->pids[i]);
		glance.signature = mix(glance.signature, (uint64_t)status.st_size);
	}
	return glance;
}

void glance_counted(struct generation *generation, const struct glance *glance, nanoseconds cost)
{
	generation->counted_signature = glance->signature;
	generation->counted_descriptors = glance->descriptors;
	generation->counted_at = now();
	generation->count_cost = cost;
}

bool glance_holds(const struct generation *generation, const struct glance *glance)
{
	return generation->audited && generation->connections && glance->descriptors &&
	       generation->count_cost > CHEAP && now() - generation->counted_at < TRUST &&
	       glance->signature == generation->counted_signature;
}

bool glance_is_due(const struct generation *generation, const struct glance *glance)
{
	/*
	 * The generation may be empty if nearly as many descriptors (15/16) are gone as it had
	 * connections.  If it has many descriptors, at least half of them must be gone, so that
	 * each count costs half of the one before.
	 */
	bool may_be_over = glance->descriptors + generation->connections <=
	                   generation->counted_descriptors + generation->connections / 16;
	bool are_few = glance->descriptors < FEW ||
	               glance->descriptors * 2 <= generation->counted_descriptors;
	/*
	 * glance_paces() is false after a count that has found nothing: the second of the two empty
	 * counts (helper/lifecycle/drain.h) is not put off.
	 */
	return !glance_paces(generation) || (may_be_over && are_few) ||
	       now() - generation->counted_at >= 50 * generation->count_cost;
}

bool glance_paces(const struct generation *generation)
{
	return generation->connections && generation->counted_descriptors &&
	       generation->count_cost > CHEAP;
}
