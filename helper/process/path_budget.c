/* SPDX-License-Identifier: MIT */
/* How long the launcher's loop may stand still for operations on paths. */
#include "helper/process/path_budget.h"

#include <stddef.h>

enum { STRIKES = 2 };

/*
 * The generation gets no operation while it owes as much as this, and pays back 1 / SHARE of the
 * time.
 */
static const nanoseconds ALLOWANCE = 450 * MILLISECOND;
enum { SHARE = 20 };

/*
 * The generations that have cost time.  They are few, and a generation's number is not used again.
 */
struct account {
	uint32_t generation;
	unsigned strikes; /* operations that have timed out */
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

/* How much the generation owes now. */
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
