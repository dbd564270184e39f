/* SPDX-License-Identifier: MIT */
/*
 * What every generation may know of all listeners, also of those it has not taken up: which file or
 * name is a live UNIX socket's, and which ports are served by datagrams.
 */
#pragma once

#include "helper/state/instance.h"

/* To be called after any listener has come, moved or gone, and for a new generation. */
void publish_addresses(struct instance *instance);
