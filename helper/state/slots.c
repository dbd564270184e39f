/* SPDX-License-Identifier: MIT */
/* The slots of a generation's tally. */
#include "helper/state/slots.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/kernel/tree.h"

enum {
	SWEEP_LEAST = 256,
	/* No process has more threads in accept(); a larger number in its slot is false. */
	INFLIGHT_MOST = 32768,
};

int slots_init(struct slots *slots, struct moult_tally *tally)
{
	*slots = (struct slots){.tally = tally, .used = 1, .sweep_at = SWEEP_LEAST};
	slots->owners = calloc(MOULT_SLOTS, sizeof(*slots->owners));
	return slots->owners ? 0 : -ENOMEM;
}

void slots_deinit(struct slots *slots)
{
	free(slots->owners);
	*slots = (struct slots){0};
}

static bool lives(const struct slot_owner *owner)
{
	return owner->pid && tree_birth(owner->pid) == owner->birth;
}

static void take_back(struct slots *slots, uint32_t i)
{
	struct moult_slot *slot = &slots->tally->slot[i];
	slots->accepted_before += atomic_exchange(&slot->accepted, 0);
	slots->datagrams_before += atomic_exchange(&slot->datagrams, 0);
	atomic_store(&slot->closed, 0);
	atomic_store(&slot->inflight, 0);
	slots->owners[i] = (struct slot_owner){0};
}

/*
 * Takes back the slots of dead processes.  A daemon whose children serve one connection each uses
 * thousands of slots in a day, but few at one time.
 */
static void sweep(struct slots *slots)
{
	uint32_t left = 0, end = 1;
	for (uint32_t i = 1; i < slots->used; i++) {
		if (!slots->owners[i].pid)
			continue;
		if (!lives(&slots->owners[i])) {
			take_back(slots, i);
			continue;
		}
		left++;
		end = i + 1;
	}
	slots->used = end;
	slots->sweep_at = left < SWEEP_LEAST / 2 ? SWEEP_LEAST : 2 * left;
}

static uint32_t find(const struct slots *slots, pid_t pid)
{
	for (uint32_t i = 1; i < slots->used; i++)
		if (slots->owners[i].pid == pid)
			return i;
	return 0;
}

int slots_give(struct slots *slots, pid_t pid)
{
	uint64_t birth = tree_birth(pid);
	if (!birth)
		return -ESRCH;
	uint32_t i = find(slots, pid);
	if (i && slots->owners[i].birth == birth)
		return (int)i;
	if (i) /* of a dead process with the same pid */
		take_back(slots, i);
	if (slots->used >= slots->sweep_at)
		sweep(slots);
	i = find(slots, 0);
	if (!i && slots->used == MOULT_SLOTS)
		return -ENOSPC;
	if (!i)
		i = slots->used++;
	take_back(slots, i); /* the daemon may have written to a free slot */
	slots->owners[i] = (struct slot_owner){pid, birth};
	return (int)i;
}

void slots_empty(struct slots *slots, pid_t pid)
{
	uint32_t i = find(slots, pid);
	if (i)
		atomic_store(&slots->tally->slot[i].inflight, 0);
}

unsigned slots_inflight(const struct slots *slots)
{
	unsigned sum = 0;
	for (uint32_t i = 1; i < slots->used; i++) {
		uint32_t inflight = atomic_load(&slots->tally->slot[i].inflight);
		if (inflight && lives(&slots->owners[i]))
			sum += inflight < INFLIGHT_MOST ? inflight : INFLIGHT_MOST;
	}
	return sum;
}

uint64_t slots_accepted(const struct slots *slots)
{
	uint64_t sum = slots->accepted_before;
	for (uint32_t i = 1; i < slots->used; i++)
		sum += atomic_load(&slots->tally->slot[i].accepted);
	return sum;
}

uint64_t slots_datagrams(const struct slots *slots)
{
	uint64_t sum = slots->datagrams_before;
	for (uint32_t i = 1; i < slots->used; i++)
		sum += atomic_load(&slots->tally->slot[i].datagrams);
	return sum;
}

uint64_t slots_open_hint(const struct slots *slots)
{
	uint64_t sum = 0;
	for (uint32_t i = 1; i < slots->used; i++) {
		const struct moult_slot *slot = &slots->tally->slot[i];
		uint64_t accepted = atomic_load(&slot->accepted),
		         closed = atomic_load(&slot->closed);
		sum += accepted > closed ? accepted - closed : 0;
	}
	return sum;
}

bool slots_has_others(const struct slots *slots, pid_t main)
{
	for (uint32_t i = 1; i < slots->used; i++)
		if (slots->owners[i].pid != main && lives(&slots->owners[i]))
			return true;
	return false;
}
