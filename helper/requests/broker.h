/* SPDX-License-Identifier: MIT */
/*
 * The broker: the process that talks to the daemon's processes in the launcher's stead.
 *
 * It accepts their connections, looks at who they are, receives and decodes what they send, and
 * hands the launcher one checked request at a time, with those descriptors alone that the launcher
 * needs.  It owns nothing: when it dies, or is killed because it does not get on, the launcher forks
 * another one, and who has not been answered yet waits in the queue of the socket, which is the
 * launcher's.
 *
 * Strangers (processes of no generation) are never read from.  What came from another process is let
 * go without waiting for anybody (helper/requests/castoff.h); the broker can still hang in the kernel,
 * and then it is abandoned.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/requests/roster.h"

/* What is open in the broker when it begins: /dev/null three times, the listening socket, the link. */
enum { BROKER_SERVER = 3, BROKER_LINK, BROKER_FIRST };

/* The broker's whole life. */
_Noreturn void broker_run(struct roster *roster);
