/* SPDX-License-Identifier: MIT */
/*
 * Pokes: throw-away connections and datagrams of the launcher's own.
 *
 * A poke wakes a process that waits on a listener from which it may no longer accept or read.
 * There is no other way to wake a blocked accept(): a signal would interrupt other calls of the
 * daemon.
 *
 * The shim knows a poke by its source address and swallows it.  The launcher writes the address to
 * every board before it connects.  A connection's address stays published until the daemon has
 * closed its end, so that the kernel cannot give the address to a client in between; the launcher
 * gives up after five seconds.  A datagram has no other end: its address stays published for a
 * minute.
 */
#pragma once

#include "helper/state/generation.h"
#include "helper/state/listener.h"

/* Sends one poke.  Publishes it on the boards of `newest` and all older ones.  False: it failed. */
bool poke_send(const struct listener *listener, struct generation *newest);

/*
 * Forgets the pokes that the daemon has closed, or that nobody has taken in time.  True while
 * connections, not datagrams, are still out.
 */
bool poke_reap(struct generation *newest);

/* Publishes the pokes that are out on a new generation's board. */
void poke_publish(struct generation *generation);
