/* SPDX-License-Identifier: MIT */
/*
 * What the launcher writes to the boards of all generations: the path or abstract name of each UNIX
 * listener, the kind and port of each listener (also of those that the generation has not taken
 * up), and whether there is a newer generation.
 */
#pragma once

#include "helper/state/instance.h"

/* Call when a listener has come, moved or gone, and for a new generation. */
void publish_addresses(struct instance *instance);

/*
 * Tells each generation whether there is a newer one.  Call when a generation has come or gone, and
 * when a start has ended.  `starting`: the newest generation is not ready yet.
 */
void publish_newness(struct instance *instance, bool starting);
