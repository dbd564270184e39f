/* SPDX-License-Identifier: MIT */
/*
 * After a switch: clears MOULT_GATE_CROWDED when it is no longer needed.
 *
 * While processes of other generations wait on a listener, the accepting generation registers there
 * without EPOLLEXCLUSIVE (MOULT_GATE_CROWDED; helper/switch/switch.c says why).  The launcher reads
 * the kernel's own lists to learn when no such process is left.
 */
#pragma once

#include "helper/state/instance.h"

/*
 * Looks in a millisecond, and then ever more rarely until no other generation waits on a listener
 * of the accepting one.  Pokes where a connection could stay in the queue unseen.  Also reaps
 * pokes.
 */
void crowd_begin(struct instance *instance);
