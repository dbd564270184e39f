/* SPDX-License-Identifier: MIT */
/* This process's slot in the tally: where its accepts are counted (shim/contract.h). */
#pragma once

#include "shim/contract.h"

/*
 * The slot.  The first call of a process asks the launcher for one.  Without an answer the process
 * counts in memory of its own, where the launcher does not look, and asks again when a gate has
 * changed.
 */
struct moult_slot *member_slot(void);

/* Asks for a slot now, if the process has none, because a filter may deny the question later. */
void member_prepare(void);

/* The slot, or NULL if the process has none yet. */
struct moult_slot *member_slot_if_any(void);
