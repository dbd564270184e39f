/* SPDX-License-Identifier: MIT */
/*
 * Which stored socket a bind() gets.
 *
 * The shim asks before each bind().  If the store has a socket for that address, and the process
 * may have it, the process gets the stored socket in place of its own.  Otherwise the process binds
 * its own socket, and the store keeps that one when it listens (helper/requests/handover.h).
 */
#pragma once

#include "helper/requests/answer.h"
#include "helper/requests/request.h"
#include "helper/state/instance.h"

/*
 * MOULT_BIND.  The answer has the listener's number and socket; or listener -1: the process binds
 * its own socket; or MOULT_ASK_AGAIN (helper/requests/group.h).
 */
struct answer bind_choose_socket(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received);
