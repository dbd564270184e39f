/* SPDX-License-Identifier: MIT */
/* This process's slot in the tally. */
#pragma once

#include "shim/contract.h"

/*
 * This process's slot.  The first call of a process asks the launcher.  Without an answer the
 * process counts in memory of its own, where the launcher does not look, and asks again when a gate
 * has changed.
 */
struct moult_slot *member_slot(void);

/* Asks for the slot now, because the question may be forbidden later. */
void member_prepare(void);

/* The slot if this process has one already, else NULL. */
struct moult_slot *member_slot_if_any(void);
