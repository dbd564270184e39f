/* SPDX-License-Identifier: MIT */
/*
 * May an old generation remove this pid file?  Not if a newer generation has written it anew.
 *
 * Most daemons remove their pid file by its name when they end.  By then the name may already mean
 * the file of the newer generation.  If that file were removed, init scripts, logrotate and
 * monitoring would find none.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * A process of `generation` is about to remove or empty the file that `request` names in its
 * directory or, without a name, the file that came with the request.  True: it is the pid file of a
 * newer generation, because it begins with the pid of a living process of one, or of the launcher.
 * The request is not trusted: only a small regular file is opened, and the kernel says to which
 * generation a pid belongs.
 */
bool daemon_pidfile_is_newer(const struct instance *instance, const struct generation *generation,
        const struct request *request);
