/* SPDX-License-Identifier: MIT */
/* This process's slot in the tally. */
#include "shim/member_slot.h"

#include <stddef.h>

#include "shim/member.h"
#include "shim/member_ask.h"

struct moult_slot *member_slot_if_any(void)
{
	uint32_t mine = atomic_load_explicit(&member_own->slot, memory_order_relaxed);
	return mine ? &member_tally->slot[mine] : NULL;
}

/*
 * Asks for a slot.  The launcher gives each process one, however many of its threads ask at once.
 *
 * Some processes get none: MOULT_SLOTS others have one, a filter denies the question, or the
 * launcher is dead or stopped.  Such a process counts where nobody looks, so at a switch it may
 * accept one more connection, late; it serves that connection.  Because the harm is small, a client
 * need not wait long for the launcher's answer.
 */
static struct moult_slot *slot_claim(void)
{
	static struct moult_slot uncounted;
	uint32_t sequence = atomic_load(&member_board->sequence) + 1;
	if (atomic_load(&member_own->refused_at) == sequence || member_is_borrowed())
		return &uncounted;
	struct moult_request request = {.verb = MOULT_SLOT, .listener = -1};
	struct moult_reply reply = {.listener = -1};
	int error = member_ask_until(member_clock() + MEMBER_SHORT, &request, -1, -1, &reply, NULL);
	if (error < 0 || reply.listener <= 0 || reply.listener >= MOULT_SLOTS) {
		atomic_store(&member_own->refused_at, sequence);
		return &uncounted;
	}
	atomic_store(&member_own->slot, (uint32_t)reply.listener);
	return &member_tally->slot[reply.listener];
}

struct moult_slot *member_slot(void)
{
	struct moult_slot *slot = member_slot_if_any();
	if (slot)
		return slot;
	member_serves();
	return slot_claim();
}

void member_prepare(void)
{
	if (atomic_load(&member_board->listeners) && !member_slot_if_any())
		(void)slot_claim();
}
