/* SPDX-License-Identifier: MIT */
/*
 * Generations that a newer one is beside, and the pid file that is the newer one's by now.
 *
 * Most daemons remove their pid file by its name when they end.  Without another instance beside
 * them that is right; here the file may have been written anew, and whoever reads it (init scripts,
 * logrotate, monitoring) would find nothing.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * Tells each generation whether there is a newer one.  To be called when one has come or gone, and
 * when an upgrade is over; `starting`: it is not.
 */
void superseded_publish(struct instance *instance, bool starting);

/*
 * A process of `generation` is about to remove or to empty what `request` names in its directory, or,
 * if it names nothing, the file that came along: is that the pid file of a newer one?  It begins with the number of a living process of that.  Nothing that the process says or
 * wrote is believed, nothing but a small regular file is opened.
 */
bool superseded_has_file(const struct instance *instance, const struct generation *generation,
        const struct request *request);
