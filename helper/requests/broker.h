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
 * Strangers (processes of no generation) are never read from.  No descriptor that came from another
 * process is closed by close(), which can wait for as long as its sender likes (SO_LINGER, a FUSE
 * file system): see broker.c.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

#include "helper/requests/request.h"

enum { ROSTER_MOST = 128 };

/* Shared by the launcher, which writes, the keepers, which write their pid, and the broker. */
struct roster {
	_Atomic int64_t busy_since; /* the broker is at a message since then; 0: it waits */
	struct roster_entry {
		_Atomic uint32_t generation; /* 0: free */
		_Atomic int32_t keeper;      /* 0: not started yet */
		char token[MOULT_TOKEN_DIGITS];
	} entries[ROSTER_MOST];
};

/* The broker's whole life. `server`: the listening socket; `link`: to the launcher. */
_Noreturn void broker_run(int server, int link, struct roster *roster);
