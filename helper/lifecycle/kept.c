/* SPDX-License-Identifier: MIT */
/* Listeners that outlive the launcher, because the service manager has a duplicate. */
#include "helper/lifecycle/kept.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/log.h"
#include "helper/base/socket_option.h"
#include "helper/lifecycle/manager.h"
#include "helper/lifecycle/unit_job.h"
#include "helper/process/discard.h"
#include "helper/requests/publish.h"
#include "helper/state/pending.h"
#include "helper/state/place.h"
#include "helper/state/socket_options.h"
#include "helper/switch/switch.h"

/* An accepted listener is stored soon after the switch, which publishes nothing. */
static const nanoseconds PAUSE = 200 * MILLISECOND;

static struct timer later;
static unsigned told;      /* the publication that the manager knows of */
static uint32_t last_kept; /* numbers in the manager's store are not used again */
static bool any_stored;    /* the manager has passed sockets, or has been sent some */
static void (*stop_then)(struct instance *instance);

/* ---- names in the manager's store ---- */

/*
 * What the kernel does not tell about a listener.  "NUMBER.FLAGS.UID.GID"; e: bound to port 0.  The
 * user is the one that has bound the socket: helper/requests/rights.c.  The name stays as it was when
 * the socket was stored, although a later generation may bind as another user.
 */
static void print_name(const struct listener *listener, char *name)
{
	snprintf(name, PASSED_NAME, PASSED_PREFIX "%u.%s.%u.%u", listener->kept,
	        listener->ephemeral ? "e" : "-", listener->kept_uid, listener->kept_gid);
}

static bool read_name(const char *name, struct listener *listener)
{
	char flag, rest;
	if (sscanf(name, "%u.%c.%u.%u%c", &listener->kept, &flag, &listener->kept_uid,
	            &listener->kept_gid, &rest) != 4 ||
	        !listener->kept)
		return false;
	listener->ephemeral = flag == 'e';
	listener->taken_by = listener->asker.uid = listener->kept_uid;
	listener->asker.gid = listener->kept_gid;
	return true;
}

static void forget(struct listener *listener)
{
	char name[PASSED_NAME], text[PASSED_NAME + 64];
	print_name(listener, name);
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	(void)manager_say(text, -1);
	listener->kept = 0;
}

/* False: the manager cannot be told now. */
static bool store(struct listener *listener)
{
	char name[PASSED_NAME], text[PASSED_NAME + 64];
	listener->kept = last_kept + 1;
	listener->kept_uid = listener->taken_by;
	listener->kept_gid = listener->asker.gid;
	print_name(listener, name);
	/* FDPOLL=0: a listening socket is never "hung up", and the manager need not look. */
	snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s\nFDPOLL=0", name);
	if (manager_say(text, listener->fd)) {
		last_kept++;
		any_stored = true;
	} else
		listener->kept = 0;
	return listener->kept != 0;
}

/* ---- while the service runs ---- */

/*
 * Is it a service of the daemon, and not a port for one client or a socket by which its processes
 * reach each other?  Such sockets mean nothing to the next launcher's daemon.
 */
static bool is_service(const struct instance *instance, const struct listener *listener)
{
	bool internal = !identity_is_inet(&listener->identity) && instance->current &&
	                instance->current->talks_to_itself;
	return listener->state == LISTENER_LIVE && !listener->activated && !listener->deferred &&
	       !(listener->late && listener->ephemeral) && !internal;
}

/* Not by a version that may still fail before it is ready. */
static bool is_served(struct instance *instance, uint32_t i)
{
	const struct generation *acceptor = instance_acceptor(instance, i);
	return acceptor && acceptor->state != GENERATION_WARMING;
}

static void look(void *context)
{
	struct instance *instance = context;
	bool again = false;
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct listener *listener = instance_listener(instance, i);
		if (listener->kept && listener->state != LISTENER_LIVE)
			forget(listener);
		else if (!listener->kept && is_service(instance, listener))
			again |= !is_served(instance, i) || !store(listener);
	}
	if (again) {
		later.fire = look;
		later.context = instance;
		loop_after(&later, PAUSE);
	}
}

void kept_tell(struct instance *instance)
{
	if (told == instance->publications || !manager_may_store())
		return;
	told = instance->publications;
	look(instance);
}

/* ---- start ---- */

/* An absolute path of the launcher's own root; another one is not found again. */
static void expect_path(struct fdstore *fds, int fd, struct asker *asker)
{
	struct identity identity;
	struct look found;
	char path[sizeof(struct sockaddr_un)], *base;
	if (identity_of_bound(fd, &identity) < 0 || !identity_is_path(&identity))
		return;
	base = strrchr(identity_text(&identity, path), '/');
	if (path[0] != '/' || !base)
		return;
	*base++ = '\0';
	int directory = open(*path ? path : "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return;
	if (paths_look(asker, directory, base, &found, NULL) < 0 ||
	        place_set(&identity, base, &found) < 0) {
		close(directory);
		return;
	}
	(void)fdstore_expect(fds, socket_inode(fd), &identity, directory, asker);
}

static bool is_open(int fd)
{
	int type = socket_option(fd, SOL_SOCKET, SO_TYPE);
	return type == SOCK_DGRAM || socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

/* 0 or -errno.  Consumes the descriptor. */
static int take_back(struct instance *instance, const struct passed *one, struct listener *known)
{
	struct fdstore *fds = &instance->store;
	unsigned queued, backlog = 0;
	int fd = one->fd;
	if (!is_open(fd)) {
		fd_discard(&fd);
		return -ENOTCONN;
	}
	bool nonblock = socket_is_nonblock(fd), shared = socket_is_reuseport(fd);
	expect_path(fds, fd, &known->asker);
	int i = fdstore_add_consume(fds, fd, 1);
	if (i < 0)
		return i;
	struct listener *listener = &fds->listeners[i];
	listener->activated = !one->is_stored;
	listener->starts_nonblock = nonblock;
	listener->shared = shared;
	listener->kept = known->kept;
	listener->kept_uid = known->kept_uid;
	listener->kept_gid = known->kept_gid;
	listener->taken_by = known->taken_by;
	listener->asker.gid = known->asker.gid;
	listener->ephemeral = known->ephemeral;
	listener->backlog = LISTENER_MOST;
	if (listener_queue(listener, &queued, &backlog) == 0 && backlog)
		listener->backlog = (int)backlog;
	if (one->is_stored && identity_is_path(&listener->identity) && listener->directory < 0) {
		listener_forget(listener);
		return -ESTALE;
	}
	return 0;
}

void kept_take_back(struct instance *instance, const struct passed *passed, unsigned count)
{
	static bool which[MOULT_LISTENERS];
	char names[300];
	unsigned taken = 0;
	for (unsigned n = 0; n < count; n++) {
		struct listener known = {.asker = {.uid = geteuid(), .gid = getegid()}};
		bool named = !passed[n].is_stored || read_name(passed[n].name, &known);
		if (known.kept > last_kept)
			last_kept = known.kept;
		any_stored |= passed[n].is_stored;
		if (take_back(instance, &passed[n], &known) < 0 && named && known.kept)
			forget(&known);
		else if (passed[n].is_stored)
			taken++;
	}
	for (uint32_t i = 0; i < instance->store.count; i++)
		which[i] = instance_listener(instance, i)->kept;
	instance_print_listeners(instance, which, names, sizeof(names));
	if (taken)
		log_notice("the service manager has kept %s", names);
}

/*
 * The gate is as after a bind(): helper/switch/switch.c.  The daemon may also bind the address
 * (HOLDS_PASSED: helper/requests/bind.c).
 */
void kept_give(struct instance *instance, struct generation *generation)
{
	for (uint32_t i = 0; i < instance->store.count; i++) {
		struct listener *listener = instance_listener(instance, i);
		if (!listener->activated || listener->state == LISTENER_GONE)
			continue;
		uint32_t word = switch_first_word(instance, generation, i);
		if ((word & MOULT_GATE_STATE) == MOULT_GATE_OPEN) {
			listener_prepare(listener, listener->starts_nonblock);
			listener->owner = generation->id;
		}
		listener->last_holder = generation->id;
		generation_take(generation, i, HOLDS_PASSED, listener->inode,
		        listener->starts_nonblock, word);
	}
}

/* ---- the end ---- */

static void answered(void *context, const struct unit_answer *answer)
{
	struct instance *instance = context;
	instance->leaves_listeners = answer->restarts && answer->stores;
	if (instance->leaves_listeners)
		log_notice("the service manager restarts the service: new clients wait in the "
		           "queue");
	stop_then(instance);
}

void kept_before_stop(struct instance *instance, void (*stop)(struct instance *instance))
{
	if (!any_stored) {
		stop(instance);
		return;
	}
	manager_ends(instance);
	stop_then = stop;
	unit_job_ask(answered, instance);
}
