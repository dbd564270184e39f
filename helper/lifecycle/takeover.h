/* SPDX-License-Identifier: MIT */
/* The next generation becomes the current one: the switch and the probation. */
#pragma once

#include "helper/lifecycle/transitions.h"

/*
 * Switches to the next generation, whether it is ready or not.  Returns EVENT_ON_PROBATION,
 * EVENT_SWITCHED, or EVENT_FAILED when it cannot listen.
 */
enum event takeover_switch(struct instance *instance);
