/* SPDX-License-Identifier: MIT */
/*
 * What the launcher tells every generation: which file or name is a live UNIX socket's, which ports
 * are served by datagrams (also for listeners that the generation has not taken up), and whether
 * there is a newer generation.
 */
#pragma once

#include "helper/state/instance.h"

/* To be called after any listener has come, moved or gone, and for a new generation. */
void publish_addresses(struct instance *instance);

/*
 * Tells each generation whether there is a newer one.  To be called when one has come or gone, and
 * when a start is over.  `starting`: the newest generation is not ready yet.
 */
void publish_newness(struct instance *instance, bool starting);
