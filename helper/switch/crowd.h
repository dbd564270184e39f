/* SPDX-License-Identifier: MIT */
/*
 * After a switch: until no process of an older generation waits on a listener any more, the
 * accepting one registers without EPOLLEXCLUSIVE (MOULT_GATE_CROWDED).  The kernel's own lists say
 * when that is.
 */
#pragma once

#include "helper/state/instance.h"

/* Looks soon, then ever more rarely, and pokes where a connection could get lost to sight, until
 * nobody is left. */
void crowd_begin(struct instance *instance);
