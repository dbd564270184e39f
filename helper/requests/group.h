/* SPDX-License-Identifier: MIT */
/*
 * What becomes of a SO_REUSEPORT group: all members get one socket, and so share one queue.
 *
 * Without moult each member has a socket and a queue of its own, and the kernel chooses the queue
 * of a new client by a hash.  When a member closes its socket, the kernel resets the connections in
 * that queue.  When the number of members changes, the hash chooses differently.  An upgrade does
 * both.  With one queue neither the end of a member nor a change of their number loses a client.
 *
 * A member gets the shared socket when it binds (helper/requests/bind.c).  Several processes may
 * bind before the first of them listens.  They have sockets of their own by then, and get the
 * shared one when they listen (helper/requests/handover.c).  A datagram socket receives from its
 * bind() on, so the members of its group wait until the first one is bound (MOULT_ASK_AGAIN).
 *
 * A generation that has bound with SO_REUSEPORT holds the listener as HOLDS_SHARED.  Whether the
 * stored socket itself has SO_REUSEPORT is the accepting generation's choice (listener->shared);
 * the switch sets it (listener_prepare(), helper/state/listener.c).
 */
#pragma once

#include "helper/requests/request.h"
#include "helper/state/generation.h"
#include "helper/state/pending.h"

/* How a generation holds a listener that it has bound with or without SO_REUSEPORT. */
enum holding group_holding(bool reuseport);

/* Is the socket that `request` binds one more member of a group that the generation holds? */
bool group_wants_member(
        const struct generation *generation, uint32_t listener, const struct request *request);

/*
 * Is the socket announced before it is bound?  The members of a datagram group are, so that the
 * others can wait for the first.
 */
bool group_is_announced(const struct request *request, const struct identity *identity);

/*
 * Has another process announced less than a second ago that it binds this address?  Then its socket
 * becomes the shared one, and the process that asks now is told to ask again.
 */
bool group_is_forming(
        struct fdstore *store, const struct request *request, const struct identity *identity);

/*
 * The stored listener that a socket, bound before the group had its shared socket, is replaced by
 * when it listens; or -1.
 */
int group_find(const struct fdstore *store, const struct generation *generation,
        const struct request *request, const struct identity *identity);
