/* SPDX-License-Identifier: MIT */
/*
 * The broker: the process that talks to the daemon's processes in place of the launcher.
 *
 * The broker accepts their connections, checks which generation each belongs to, receives and
 * decodes their messages, and hands the launcher one checked request at a time, with no other
 * descriptors than the launcher needs.  The broker owns nothing.  When it dies or hangs, the
 * launcher kills it and forks another one (helper/requests/broker_process.h).  Connections that it
 * has not accepted wait in the queue of the socket, which is the launcher's.
 *
 * The broker never reads from a process of no generation.  It closes descriptors of other processes
 * in a way that does not wait (helper/requests/castoff.h).  It can still hang in the kernel, and is
 * replaced then.
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/requests/roster.h"

/*
 * The descriptors that are open in the broker when it begins: /dev/null three times, the listening
 * socket and the link to the launcher.
 */
enum { BROKER_SERVER = 3, BROKER_LINK, BROKER_FIRST };

/* Runs until the launcher ends. */
_Noreturn void broker_run(struct roster *roster);
