/* SPDX-License-Identifier: MIT */
/*
 * Pokes: throw-away connections and datagrams of the launcher's own, made to wake a process that
 * waits on a listener it may no longer accept or read from.
 *
 * A blocked accept() cannot be told anything else; a signal would break other calls of the daemon.
 * The shim knows a poke by its source address, which is on every board before the connection is
 * made, and swallows it.  An address stays published until the other end has been closed, so that
 * the kernel cannot give it to a client in between; a datagram has no other end, and its address is
 * kept for a minute.
 */
#pragma once

#include "helper/state/fdstore.h"
#include "helper/state/generation.h"

/* One poke, for the generations `newest` and older. False: none could be made. */
bool poke_send(const struct listener *listener, struct generation *newest);

/* Forgets those that have been answered. True while some are out. */
bool poke_reap(struct generation *newest);

/* Publishes those that are out on a new generation's board. */
void poke_publish(struct generation *generation);
