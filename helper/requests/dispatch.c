/* SPDX-License-Identifier: MIT */
/* Each checked request goes to the function that answers it. */
#include "helper/requests/dispatch.h"

#include <errno.h>

#include "helper/base/log.h"
#include "helper/requests/beside.h"
#include "helper/requests/bind.h"
#include "helper/requests/closing.h"
#include "helper/requests/daemon_pidfile.h"
#include "helper/requests/handover.h"
#include "helper/requests/probe.h"
#include "helper/requests/unix_path.h"
#include "helper/switch/crowd.h"
#include "helper/switch/poke.h"

/*
 * The daemon has called shutdown().  Its own accepts fail; the queue stays for its successor.  Each
 * poke makes one blocked accept return.
 */
static struct answer handle_shut(struct instance *instance, struct generation *generation, int i)
{
	struct listener *listener = instance_listener(instance, (uint32_t)i);
	bool open = gate_get(generation, (uint32_t)i) == MOULT_GATE_OPEN;
	gate_set(generation, (uint32_t)i, MOULT_GATE_SHUT);
	generation_tell(generation);
	unsigned blocked = generation_inflight(generation);
	for (unsigned n = 0; open && n < blocked && n < 64; n++)
		poke_send(listener, instance->newest);
	crowd_begin(instance); /* reaps the pokes */
	return answer_with(0, i, -1);
}

static struct answer handle_hello(struct generation *generation, const struct request *request)
{
	slots_empty(&generation->slots, request->asker.pid);
	if (!generation->is_joined) {
		generation->is_joined = true;
		generation->first_uid = request->asker.uid;
	}
	return (struct answer){{.listener = -1}, {generation->board_fd, generation->tally_fd}};
}

static struct answer handle_slot(struct generation *generation, const struct request *request)
{
	int slot = slots_give(&generation->slots, request->asker.pid);
	return answer_with(slot < 0 ? slot : 0, slot < 0 ? -1 : slot, -1);
}

/*
 * The socket on which the generation reads and sets its options: the template before the switch,
 * the shared socket itself (-1 here) afterwards.
 */
static struct answer template_of(
        struct instance *instance, const struct generation *generation, int i)
{
	bool waits = gate_get(generation, (uint32_t)i) == MOULT_GATE_WARMING;
	return answer_with(0, i, waits ? instance_listener(instance, (uint32_t)i)->template : -1);
}

static struct answer handle_removed(struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	bool stays = daemon_pidfile_is_newer(instance, generation, request);
	return answer_with(stays ? 0 : -ENOENT, -1, -1);
}

/* A request about a listener, from a process that has sent the listener's socket. */
static struct answer handle_holder(
        struct instance *instance, struct generation *generation, const struct request *request)
{
	int i = request->listener;
	switch (request->verb) {
	case MOULT_LISTEN: return handover_listen_again(instance, generation, request);
	case MOULT_TEMPLATE: return template_of(instance, generation, i);
	case MOULT_SHUT: return handle_shut(instance, generation, i);
	case MOULT_CONNECTED: handover_connected(instance, generation, request); break;
	case MOULT_CLOSED: closing_begin(instance, generation, (uint32_t)i); break;
	default: return answer_with(-EINVAL, -1, -1);
	}
	return answer_with(0, i, -1); /* after CLOSED nobody reads the answer */
}

static bool is_of_holder(struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	return instance_is_holder(instance, generation, request->listener) &&
	       request->socket == instance_listener(instance, (uint32_t)request->listener)->inode;
}

static struct answer handle(struct instance *instance, struct generation *generation,
        struct request *request, struct received *received)
{
	switch (request->verb) {
	case MOULT_HELLO: return handle_hello(generation, request);
	case MOULT_SLOT: return handle_slot(generation, request);
	case MOULT_BIND: return bind_choose_socket(instance, generation, request, received);
	case MOULT_BIND_BESIDE: return beside_allow(instance, generation, request);
	case MOULT_CALLING: return probe_finds_earlier(instance, generation, request);
	case MOULT_MOVED: return unix_path_moved(instance, generation, request);
	case MOULT_REPLACE: return unix_path_replace(instance, generation, request);
	case MOULT_UNLINKED: return unix_path_unlinked(instance, generation, request);
	case MOULT_REMOVED: return handle_removed(instance, generation, request);
	case MOULT_LISTEN:
		if (request->listener < 0)
			return handover_listen(instance, generation, request, received);
		break;
	case MOULT_CLOSED:
	case MOULT_SHUT:
	case MOULT_TEMPLATE:
	case MOULT_CONNECTED: break;
	}
	return is_of_holder(instance, generation, request)
	               ? handle_holder(instance, generation, request)
	               : answer_with(-EBADF, -1, -1);
}

static void say_other_contract(struct generation *generation, uint32_t contract)
{
	if (generation->told_contract)
		return;
	generation->told_contract = true;
	log_error("libmoult.so (contract %u) and moult (contract %u) are of different versions: a "
	          "process of the daemon runs as without moult; install both from one build",
	        contract, MOULT_CONTRACT);
}

static struct generation *generation_of(struct instance *instance, const struct request *request)
{
	struct generation *generation = instance->newest;
	while (generation && generation->id != request->generation)
		generation = generation->older;
	return generation;
}

struct answer dispatch_request(
        struct instance *instance, struct request *request, struct received *received)
{
	struct generation *generation = generation_of(instance, request);
	if (!generation)
		return answer_with(-EPERM, -1, -1);
	/* The broker sends this for a request of another contract, with its number as backlog. */
	if ((int)request->verb == 0) {
		say_other_contract(generation, (uint32_t)request->backlog);
		return answer_with(-EPROTO, -1, -1);
	}
	return handle(instance, generation, request, received);
}
