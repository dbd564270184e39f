/* SPDX-License-Identifier: MIT */
/* The fd store: a duplicate of every listening and bound datagram socket. */
#include "helper/state/fdstore.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/kernel/diag.h"
#include "helper/process/discard.h"
#include "helper/state/socket_options.h"

static void listener_deinit(struct listener *listener)
{
	fd_discard(&listener->fd);
	fd_discard(&listener->template);
	fd_discard(&listener->former);
	fd_close(&listener->directory);
	fd_close(&listener->pinned);
}

void fdstore_deinit(struct fdstore *store)
{
	for (uint32_t i = 0; i < store->count; i++)
		listener_deinit(&store->listeners[i]);
	for (size_t i = 0; i < store->pending_count; i++)
		fd_discard(&store->pending[i].directory);
	free(store->listeners);
	free(store->pending);
	*store = (struct fdstore){0};
}

uint64_t socket_inode(int fd)
{
	struct stat status;
	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

/* ---- finding ---- */

static bool has_file(const struct listener *listener, struct file_id file)
{
	return listener->directory >= 0 && file_id_equal(listener->file, file);
}

static bool is_meant(
        const struct listener *listener, const struct identity *wanted, const struct look *look)
{
	if (listener->state == LISTENER_GONE || !identity_same_host(&listener->identity, wanted))
		return false;
	if (!identity_is_inet(wanted)) /* one that retires has already lost its path or name */
		return listener->state == LISTENER_LIVE &&
		       (!identity_is_path(wanted) || (look && has_file(listener, look->file)));
	uint16_t port = identity_port(wanted);
	if (port)
		return port == identity_port(&listener->identity);
	/* Not a client's datagram socket, nor a port that only one client was told. */
	return listener->ephemeral && !listener->late && !identity_is_datagram(wanted);
}

int fdstore_find(const struct fdstore *store, const struct identity *wanted,
        const struct look *look, int after)
{
	for (uint32_t i = (uint32_t)(after + 1); i < store->count; i++)
		if (is_meant(&store->listeners[i], wanted, look))
			return (int)i;
	return -1;
}

int fdstore_find_equal(const struct fdstore *store, const struct identity *identity)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_LIVE &&
		        identity_equal(&store->listeners[i].identity, identity))
			return (int)i;
	return -1;
}

int fdstore_find_inode(const struct fdstore *store, uint64_t inode)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state != LISTENER_GONE &&
		        store->listeners[i].inode == inode)
			return (int)i;
	return -1;
}

int fdstore_find_file(const struct fdstore *store, struct file_id file)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_LIVE &&
		        has_file(&store->listeners[i], file))
			return (int)i;
	return -1;
}

/* ---- pending ---- */

static void pending_remove(struct fdstore *store, size_t i)
{
	fd_discard(&store->pending[i].directory);
	memmove(&store->pending[i], &store->pending[i + 1],
	        (--store->pending_count - i) * sizeof(*store->pending));
}

struct pending *fdstore_expected(struct fdstore *store, uint64_t socket)
{
	for (size_t i = 0; i < store->pending_count; i++)
		if (store->pending[i].inode == socket)
			return &store->pending[i];
	return NULL;
}

/*
 * Makes room for one more pending socket of that generation.  Returns the time of the generation's
 * first pending request for the same address; now if there is none.
 */
static nanoseconds make_room(
        struct fdstore *store, uint32_t generation, const struct identity *identity)
{
	size_t count = 0, oldest = 0;
	nanoseconds since = now();
	for (size_t i = store->pending_count; i-- > 0;) {
		const struct pending *pending = &store->pending[i];
		if (pending->asker.generation != generation)
			continue;
		count++;
		oldest = i;
		if (identity_equal(&pending->identity, identity) && pending->since < since)
			since = pending->since;
	}
	if (count >= PENDING_OF_ONE)
		pending_remove(store, oldest);
	return since;
}

struct pending *fdstore_expect(struct fdstore *store, uint64_t socket,
        const struct identity *identity, int directory, const struct asker *asker)
{
	nanoseconds since = make_room(store, asker->generation, identity);
	struct pending *pending = fdstore_expected(store, socket);
	if (pending)
		pending_remove(store, (size_t)(pending - store->pending));
	void *larger = array_grow(store->pending, store->pending_count, &store->pending_allocated,
	        sizeof(*store->pending));
	if (!larger) {
		fd_close(&directory);
		return NULL;
	}
	store->pending = larger;
	pending = &store->pending[store->pending_count++];
	*pending = (struct pending){.inode = socket,
	        .since = since,
	        .identity = *identity,
	        .directory = directory,
	        .asker = *asker,
	        .replaces = -1};
	return pending;
}

void fdstore_expect_no_more(struct fdstore *store, uint32_t generation)
{
	for (size_t i = store->pending_count; i-- > 0;)
		if (store->pending[i].asker.generation == generation)
			pending_remove(store, i);
}

/* ---- paths ---- */

/* Is that file the one that this socket is bound to?  The kernel says so, not the daemon. */
static bool is_bound_to(uint64_t socket, const struct look *look)
{
	struct diag_row row;
	return S_ISSOCK(look->mode) && look->listed_inode && look->listed_device &&
	       diag_unix_one(socket, &row) == 0 && row.file == look->listed_inode &&
	       row.file_device == look->listed_device;
}

void listener_remember_mode(struct listener *listener)
{
	char name[sizeof(struct sockaddr_un)];
	struct look look;
	listener->mode = 0; /* 0: nothing to put back */
	if (listener->directory < 0 ||
	        paths_look(&listener->asker, listener->directory,
	                identity_text(&listener->identity, name), &look, NULL) < 0 ||
	        !S_ISSOCK(look.mode) || !has_file(listener, look.file))
		return;
	listener->mode = look.mode;
	listener->uid = look.uid;
	listener->gid = look.gid;
}

void listener_restore_mode(const struct listener *listener)
{
	char name[sizeof(struct sockaddr_un)];
	/* Failure is ignored: a daemon that could change the mode can change it back. */
	if (listener->mode && listener->directory >= 0)
		(void)paths_restore(&listener->asker, listener->directory,
		        identity_text(&listener->identity, name), listener->file, listener->mode,
		        listener->uid, listener->gid);
}

static int identity_set_place(struct identity *identity, const char *name, const struct look *look)
{
	struct sockaddr_storage address = {.ss_family = AF_UNIX};
	struct sockaddr_un *un = (struct sockaddr_un *)&address;
	struct identity place = *identity;
	size_t length = strnlen(name, sizeof(un->sun_path) + 1);
	if (length > sizeof(un->sun_path))
		return -EINVAL;
	memcpy(un->sun_path, name, length);
	int result = identity_set_address(
	        &place, &address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
	if (result == 0)
		result = identity_set_directory(
		        &place, look->directory.device, look->directory.inode);
	if (result == 0)
		*identity = place;
	return result;
}

struct pending *fdstore_pending_at(struct fdstore *store, const struct look *look)
{
	for (size_t i = 0; i < store->pending_count; i++)
		if (store->pending[i].directory >= 0 && is_bound_to(store->pending[i].inode, look))
			return &store->pending[i];
	return NULL;
}

int pending_set_place(struct pending *pending, const struct asker *asker, int directory,
        const char *name, const struct look *look)
{
	int result = identity_set_place(&pending->identity, name, look);
	if (result < 0)
		return result;
	fd_close(&pending->directory);
	pending->directory = directory;
	pending->asker = *asker;
	return 0;
}

int listener_set_place(struct listener *listener, const struct asker *asker, int directory,
        const char *name, const struct look *look)
{
	int result = identity_set_place(&listener->identity, name, look);
	if (result < 0)
		return result;
	fd_close(&listener->directory);
	listener->directory = directory;
	listener->asker = *asker;
	listener->file = look->file;
	return 0;
}

bool listener_is_at(const struct listener *listener, const char *name, const struct look *look)
{
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	return identity_set_place(&place, name, look) == 0 &&
	       identity_same_place(&listener->identity, &place) && has_file(listener, look->file);
}

void listener_unlink(const struct listener *listener)
{
	char name[sizeof(struct sockaddr_un)];
	if (listener->directory >= 0)
		(void)paths_unlink(&listener->asker, listener->directory,
		        identity_text(&listener->identity, name), listener->file);
}

/*
 * Removes the path if the last owner believes that it has removed it.  Forgets the place: from now
 * on the daemon alone looks after the path.
 */
static void path_ends(struct listener *listener)
{
	if (listener->owner == listener->unlinked)
		listener_unlink(listener);
	fd_close(&listener->directory);
	fd_close(&listener->pinned);
}

/* ---- adding ---- */

/*
 * Have all generations ended that had the listener?  Until then one of their processes may still
 * know a descriptor by that number.
 */
static bool is_forgotten(const struct listener *listener, uint32_t oldest)
{
	return listener->state == LISTENER_GONE && listener->last_holder < oldest;
}

/*
 * The former number for an address that comes back; else the number of a listener that is
 * forgotten; else a new one.  -errno.
 */
static int number_for(struct fdstore *store, const struct identity *identity, uint32_t oldest)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state == LISTENER_GONE &&
		        identity_equal(&store->listeners[i].identity, identity))
			return (int)i;
	for (uint32_t i = 0; i < store->count; i++)
		if (is_forgotten(&store->listeners[i], oldest))
			return (int)i;
	if (store->count == MOULT_LISTENERS)
		return -ENOSPC;
	void *larger = array_grow(
	        store->listeners, store->count, &store->allocated, sizeof(*store->listeners));
	if (!larger)
		return -ENOMEM;
	store->listeners = larger;
	return (int)store->count++;
}

/* Gives the listener its announced path, if the kernel says that the socket is bound there. */
static void settle(struct listener *listener, struct pending *pending)
{
	char name[sizeof(struct sockaddr_un)];
	struct look look;
	if (pending->directory >= 0 &&
	        paths_look(&pending->asker, pending->directory,
	                identity_text(&pending->identity, name), &look, &listener->pinned) == 0 &&
	        is_bound_to(listener->inode, &look) &&
	        listener_set_place(listener, &pending->asker, pending->directory, name, &look) == 0)
		pending->directory = -1;
	else
		fd_close(&listener->pinned);
}

int fdstore_add_consume(struct fdstore *store, int fd, uint32_t oldest)
{
	struct listener listener = {.state = LISTENER_LIVE,
	        .fd = fd,
	        .template = -1,
	        .former = -1,
	        .directory = -1,
	        .pinned = -1};
	struct pending *pending = fdstore_expected(store, socket_inode(fd));
	int result = identity_of_bound(fd, &listener.identity);
	listener.inode = socket_inode(fd);
	if (result == 0 && pending) {
		listener.ephemeral = pending->ephemeral;
		settle(&listener, pending);
		pending_remove(store, (size_t)(pending - store->pending));
	}
	if (result == 0)
		result = number_for(store, &listener.identity, oldest);
	if (result < 0) {
		listener_deinit(&listener);
		return result;
	}
	store->listeners[result] = listener;
	return result;
}

void listener_set_template_consume(struct listener *listener, int template)
{
	fd_discard(&listener->template);
	listener->template = template;
}

int listener_begin(struct listener *listener)
{
	if (listener->deferred && listen(listener->fd, listener->backlog) < 0)
		return -errno;
	/* SO_REUSEPORT was set to bind it beside another listener (helper/requests/handover.c). */
	if (listener->deferred)
		socket_set_reuseport(listener->fd, listener->shared);
	listener->deferred = false;
	return 0;
}

void listener_prepare(struct listener *listener, bool nonblock)
{
	if (listener->template >= 0) {
		socket_options_copy(listener->template, listener->fd);
		listener->shared = socket_is_reuseport(listener->template);
		socket_set_reuseport(listener->fd, listener->shared);
	}
	fd_discard(&listener->template);
	socket_set_nonblock(listener->fd, nonblock);
}

void listener_remember_options(struct listener *listener)
{
	listener_forget_options(listener);
	if (listener->template <0) /* the switch changes no option */
		return;
	listener->former = socket(listener->identity.family, listener->identity.type | SOCK_CLOEXEC,
	        listener->identity.protocol);
	if (listener->former < 0)
		return;
	socket_options_copy(listener->fd, listener->former);
	socket_set_reuseport(listener->former, listener->shared);
}

void listener_restore_options(struct listener *listener)
{
	if (listener->former >= 0)
		listener_set_template_consume(listener, listener->former);
	listener->former = -1;
}

void listener_forget_options(struct listener *listener)
{
	fd_discard(&listener->former);
}

/* ---- the queue ---- */

static bool is_readable(int fd)
{
	struct pollfd one = {.fd = fd, .events = POLLIN};
	return poll(&one, 1, 0) > 0 && (one.revents & POLLIN);
}

static int unix_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog)
{
	struct diag_row row;
	int result = diag_unix_one(listener->inode, &row);
	if (result < 0)
		return result;
	*ret_queued = row.queued;
	*ret_backlog = row.limit;
	return 0;
}

int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog)
{
	if (identity_is_datagram(&listener->identity)) {
		/* The kernel counts no datagrams.  A shut UNIX socket is always readable. */
		struct diag_row row;
		*ret_queued = listener->state != LISTENER_RETIRING ||
		                              identity_is_inet(&listener->identity)
		                      ? is_readable(listener->fd)
		                      : diag_unix_one(listener->inode, &row) == 0 && row.queued;
		*ret_backlog = 0;
		return 0;
	}
	if (!identity_is_inet(&listener->identity))
		return unix_queue(listener, ret_queued, ret_backlog);
	struct tcp_info info;
	socklen_t length = sizeof(info);
	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return -errno;
	if (info.tcpi_state != TCP_LISTEN)
		return -ENOTCONN;
	*ret_queued = info.tcpi_unacked; /* net/ipv4/tcp.c, tcp_get_info(): sk_ack_backlog */
	*ret_backlog = info.tcpi_sacked; /* and sk_max_ack_backlog */
	return 0;
}

static unsigned longest_queue(void)
{
	unsigned most = LISTENER_MOST;
	FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
	if (!file)
		return most;
	if (fscanf(file, "%u", &most) != 1)
		most = LISTENER_MOST;
	(void)fclose(file);
	return most;
}

/*
 * Makes the queue as long as the system allows, and leaves the peer's user and group as they are.
 *
 * listen() makes its caller the peer that SO_PEERCRED shows to clients.  Clients may check the user
 * and the group, so the launcher takes these for this one call.  The pid becomes the launcher's,
 * which outlives the daemon's.  A launcher without the right to change its user calls listen() only
 * if the user is its own.
 */
static void listen_as_before(int fd)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0)
		return;
	if ((peer.gid == gid || setegid(peer.gid) == 0) &&
	        (peer.uid == uid || seteuid(peer.uid) == 0))
		(void)listen(fd, LISTENER_MOST); /* else the queue keeps its length */
	/* A process may always return to its real or saved ids: this cannot fail. */
	if (geteuid() != uid && seteuid(uid) < 0)
		abort();
	if (getegid() != gid && setegid(gid) < 0)
		abort();
}

void listener_raise(struct listener *listener)
{
	unsigned queued, limit;
	if (listener->state != LISTENER_LIVE || listener->deferred ||
	        identity_is_datagram(&listener->identity))
		return;
	listener->raised = true;
	if (identity_is_inet(&listener->identity))
		(void)listen(listener->fd, LISTENER_MOST);
	else if (unix_queue(listener, &queued, &limit) == 0 && limit < longest_queue())
		listen_as_before(listener->fd);
}

/*
 * A UNIX socket keeps its long queue.  Its backlog only decides when connect() waits, or fails at
 * once if it may not wait: a short one is of no use.  And the daemon has called listen() meanwhile:
 * another listen() would replace the daemon's pid in SO_PEERCRED by the launcher's.
 */
void listener_lower(struct listener *listener)
{
	if (listener->raised && listener->state == LISTENER_LIVE &&
	        identity_is_inet(&listener->identity))
		(void)listen(listener->fd, listener->backlog);
	listener->raised = false;
}

void listener_refuse(struct listener *listener)
{
	if (listener->state == LISTENER_GONE)
		return;
	if (!identity_is_inet(&listener->identity)) {
		/* connect() fails from now on; accept() succeeds until the queue is empty. */
		shutdown(listener->fd, SHUT_RD);
		path_ends(listener);
	} else if (identity_is_datagram(&listener->identity))
		socket_refuse_datagrams(listener->fd);
	else
		socket_refuse_connections(listener->fd);
	listener->state = LISTENER_RETIRING;
}

void listener_admit(struct listener *listener)
{
	if (listener->state != LISTENER_RETIRING || !identity_is_inet(&listener->identity))
		return;
	socket_refuse_nothing(listener->fd);
	listener->state = LISTENER_LIVE;
}

bool listener_is_empty(const struct listener *listener, const struct port_set *handshakes)
{
	unsigned queued, backlog;
	if (listener->deferred || listener_queue(listener, &queued, &backlog) < 0)
		return true; /* does not listen */
	if (identity_is_datagram(&listener->identity) || !identity_is_inet(&listener->identity))
		return queued == 0;
	return queued == 0 && !port_set_has(handshakes, identity_port(&listener->identity));
}

void listener_close(struct listener *listener)
{
	if (listener->state == LISTENER_GONE)
		return;
	/* Not a datagram socket: shutdown() would also end it for processes that still send. */
	if (!identity_is_datagram(&listener->identity))
		shutdown(listener->fd, SHUT_RD);
	path_ends(listener);
	listener_forget(listener);
}

void listener_forget(struct listener *listener)
{
	listener_deinit(listener);
	listener->state = LISTENER_GONE;
}

/* ---- what a listener is called ---- */

struct audit_port listener_port(const struct listener *listener)
{
	return (struct audit_port){listener->identity.family, identity_port(&listener->identity)};
}

void listener_print(const struct listener *listener, char *text, size_t size)
{
	identity_print(&listener->identity, listener->directory, text, size);
}
