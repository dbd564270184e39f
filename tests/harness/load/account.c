/* SPDX-License-Identifier: MIT */
/* Counts what the clients saw. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/harness/load/account.h"

enum { FAILURES_OF_A_KIND = 32 }; /* a frequent kind must not hide a rare one */

const char *const loss_names[LOSSES] = {
        "refused", "reset", "cut", "timed_out", "wrong", "duplicate", "error", "overflow"};

struct account ordinary, persistent;
struct failures failures;
static uint32_t *latencies; /* microseconds */
static size_t latency_count, latency_room;

int account_tag(struct account *account, const char *name)
{
	for (int i = 0; i < account->tag_count; i++)
		if (strcmp(account->tags[i].name, name) == 0)
			return i;
	if (account->tag_count == TAGS_MAX)
		return TAGS_MAX - 1;
	struct tag *tag = &account->tags[account->tag_count];
	snprintf(tag->name, sizeof(tag->name), "%s", name);
	tag->first_started = tag->first_answered = INT64_MAX;
	return account->tag_count++;
}

void tag_answered(struct tag *tag, int64_t started, int64_t at)
{
	tag->answered++;
	if (started < tag->first_started)
		tag->first_started = started;
	if (started > tag->last_started)
		tag->last_started = started;
	if (at < tag->first_answered)
		tag->first_answered = at;
	tag->last_answered = at;
}

void account_lose(struct account *account, const struct failure *failure)
{
	uint64_t of_a_kind = ++account->lost[failure->loss];
	if (failures.count < FAILURES_MAX && of_a_kind <= FAILURES_OF_A_KIND)
		failures.entries[failures.count++] = *failure;
}

void latency_record(int64_t nanoseconds)
{
	if (latency_count == latency_room) {
		size_t room = latency_room ? 2 * latency_room : 16384;
		uint32_t *grown = realloc(latencies, room * sizeof(*grown));
		if (!grown)
			return; /* the percentiles then cover only the earlier ones */
		latencies = grown;
		latency_room = room;
	}
	latencies[latency_count++] = (uint32_t)(nanoseconds / 1000);
}

static int latency_compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return (x > y) - (x < y);
}

void latencies_sort(void)
{
	qsort(latencies, latency_count, sizeof(*latencies), latency_compare);
}

double latency_at(double share)
{
	if (latency_count == 0)
		return 0;
	return latencies[(size_t)((double)(latency_count - 1) * share)] / 1000.0;
}
