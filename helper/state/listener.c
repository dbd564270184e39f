/* SPDX-License-Identifier: MIT */
/* One listener: its options, its queue, its path and its end. */
#include "helper/state/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "helper/base/util.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/permitted.h"
#include "helper/process/discard.h"
#include "helper/state/place.h"
#include "helper/state/socket_options.h"

void listener_deinit(struct listener *listener)
{
	fd_discard(&listener->fd);
	fd_discard(&listener->template);
	fd_discard(&listener->former);
	fd_close(&listener->directory);
	fd_close(&listener->pinned);
}

uint64_t socket_inode(int fd)
{
	struct stat status;
	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

/* ---- options ---- */

void listener_set_template_consume(struct listener *listener, int template)
{
	fd_discard(&listener->template);
	listener->template = template;
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

/* ---- the path of a UNIX socket ---- */

bool listener_has_file(const struct listener *listener, struct file_id file)
{
	return listener->directory >= 0 && file_id_equal(listener->file, file);
}

int listener_set_place(struct listener *listener, const struct asker *asker, int directory,
        const char *name, const struct look *look)
{
	int result = place_set(&listener->identity, name, look);
	if (result < 0)
		return result;
	fd_close(&listener->directory);
	listener->directory = directory;
	listener->asker = *asker;
	listener->file = look->file;
	return 0;
}

bool listener_has_name(const struct listener *listener, const char *name)
{
	char own[sizeof(struct sockaddr_un)];
	return listener->state == LISTENER_LIVE && identity_is_path(&listener->identity) &&
	       !strcmp(identity_text(&listener->identity, own), name);
}

bool listener_is_at(const struct listener *listener, const char *name, const struct look *look)
{
	struct identity place = {.family = AF_UNIX, .type = SOCK_STREAM};
	return place_set(&place, name, look) == 0 &&
	       identity_same_place(&listener->identity, &place) &&
	       listener_has_file(listener, look->file);
}

void listener_remember_mode(struct listener *listener)
{
	char name[sizeof(struct sockaddr_un)];
	struct look look;
	listener->mode = 0; /* 0: nothing to put back */
	if (listener->directory < 0 ||
	        paths_look(&listener->asker, listener->directory,
	                identity_text(&listener->identity, name), &look, NULL) < 0 ||
	        !S_ISSOCK(look.mode) || !listener_has_file(listener, look.file))
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

/* ---- the queue ---- */

int listener_begin(struct listener *listener)
{
	if (listener->deferred && listen(listener->fd, listener->backlog) < 0)
		return -errno;
	/* SO_REUSEPORT was set to bind it beside another listener (helper/requests/beside.h). */
	if (listener->deferred)
		socket_set_reuseport(listener->fd, listener->shared);
	listener->deferred = false;
	return 0;
}

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
	*ret_backlog = row.vague ? (unsigned)listener->backlog : row.limit;
	return 0;
}

/* Is a datagram in the queue of a UNIX socket that has been shut, and so is always readable? */
static bool has_datagram(const struct listener *listener)
{
	struct diag_row row;
	char byte;
	if (diag_unix_one(listener->inode, &row) == 0 && !row.vague)
		return row.queued;
	return recv(listener->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) >= 0;
}

int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog)
{
	if (identity_is_datagram(&listener->identity)) {
		/* The kernel counts no datagrams. */
		*ret_queued = listener->state != LISTENER_RETIRING ||
		                              identity_is_inet(&listener->identity)
		                      ? is_readable(listener->fd)
		                      : has_datagram(listener);
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
	int dumpable = prctl(PR_GET_DUMPABLE);
	struct ucred peer;
	socklen_t length = sizeof(peer);
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0 ||
	        ((peer.gid != gid || peer.uid != uid) && !permitted(PERMITTED_IDENTITY)))
		return;
	if ((peer.gid == gid || setegid(peer.gid) == 0) &&
	        (peer.uid == uid || seteuid(peer.uid) == 0))
		(void)listen(fd, LISTENER_MOST); /* else the queue keeps its length */
	/* A process may always return to its real or saved ids: this cannot fail. */
	if (geteuid() != uid && seteuid(uid) < 0)
		abort();
	if (getegid() != gid && setegid(gid) < 0)
		abort();
	/* A change of the user sets it to what the system has chosen for such processes. */
	(void)prctl(PR_SET_DUMPABLE, dumpable == 1);
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
	if (listener->state == LISTENER_GONE || listener->activated)
		return;
	if (!identity_is_inet(&listener->identity)) {
		/* connect() fails from now on; accept() succeeds until the queue is empty. */
		(void)shutdown(listener->fd, SHUT_RD);
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
	int result = listener->deferred ? -ENOTCONN : listener_queue(listener, &queued, &backlog);
	if (result == -ETIMEDOUT || result == -ENOMEM || result == -EMFILE || result == -ENFILE)
		return false;
	if (result < 0)
		return true; /* does not listen */
	if (identity_is_datagram(&listener->identity) || !identity_is_inet(&listener->identity))
		return queued == 0;
	return queued == 0 && !port_set_has(handshakes, identity_port(&listener->identity));
}

/* ---- the end ---- */

void listener_close(struct listener *listener)
{
	if (listener->state == LISTENER_GONE || listener->activated)
		return;
	/* Not a datagram socket: shutdown() would also end it for processes that still send. */
	if (!identity_is_datagram(&listener->identity))
		(void)shutdown(listener->fd, SHUT_RD);
	path_ends(listener);
	listener_forget(listener);
}

void listener_forget(struct listener *listener)
{
	listener_deinit(listener);
	listener->state = LISTENER_GONE;
}

/* ---- for others ---- */

struct audit_port listener_port(const struct listener *listener)
{
	return (struct audit_port){listener->identity.family, identity_port(&listener->identity)};
}

void listener_print(const struct listener *listener, char *text, size_t size)
{
	identity_print(&listener->identity, listener->directory, text, size);
}
