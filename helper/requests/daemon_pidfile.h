/* SPDX-License-Identifier: MIT */
/*
 * The daemon's pid file, when a newer generation has written it anew.
 *
 * Most daemons remove their pid file by its name when they end.  Without another instance beside
 * them that is right.  Beside a newer generation the name already means the newer one's file, and
 * init scripts, logrotate and monitoring would find no file.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * A process of `generation` wants to remove or to empty the file that `request` names in its
 * directory or, without a name, the file that came with the request.  True: it is the pid file of a
 * newer generation, for it begins with the number of a living process of one.  The process may lie
 * about everything: only a small regular file is opened, and the kernel says whose a number is.
 */
bool daemon_pidfile_is_newer(const struct instance *instance, const struct generation *generation,
        const struct request *request);
