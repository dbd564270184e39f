/* SPDX-License-Identifier: MIT */
/* How long the launcher's loop may stand still for operations on paths. */
#include "helper/process/path_budget.h"

#include <stddef.h>

enum { STRIKES = 2 };

/*
 * How long the loop may stand still for a generation in all: it owes the time, and pays back 5 % of
 * each second.
 */
static const nanoseconds ALLOWANCE = 450 * MILLISECOND;
enum { SHARE = 20 };

/* Generations that have cost time; few, and their numbers do not come again. */
struct account {
	uint32_t generation;
	unsigned strikes; /* time-outs */
	nanoseconds owed, owed_at;
};
static struct account *accounts;
static size_t account_count, accounts_allocated;

static struct account *account_of(uint32_t generation)
{
	for (size_t i = 0; i < account_count; i++)
		if (accounts[i].generation == generation)
			return &accounts[i];
	return NULL;
}

/* What it owes now. */
static nanoseconds owed(const struct account *account)
{
	nanoseconds paid = (now() - account->owed_at) / SHARE;
	return account->owed > paid ? account->owed - paid : 0;
}

void path_budget_charge(uint32_t generation, nanoseconds cost, bool strike)
{
	struct account *account = account_of(generation);
	if (!account) {
		void *larger =
		        array_grow(accounts, account_count, &accounts_allocated, sizeof(*accounts));
		if (!larger)
			return;
		accounts = larger;
		account = &accounts[account_count++];
		*account = (struct account){.generation = generation};
	}
	account->owed = owed(account) + cost;
	account->owed_at = now();
	account->strikes += strike;
}

bool path_budget_allows(uint32_t generation)
{
	const struct account *account = account_of(generation);
	return !account || (account->strikes < STRIKES && owed(account) < ALLOWANCE);
}
