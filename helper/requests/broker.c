/* SPDX-License-Identifier: MIT */
/*
 * The broker.
 *
 * There is room for as many descriptors as a message may have (SCM_MAX_FD).  If there were less,
 * the kernel would close the others in this process, and that could wait.
 */
#include "helper/requests/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/message.h"
#include "helper/base/util.h"
#include "helper/kernel/tree.h"
#include "helper/requests/castoff.h"

enum {
	PEERS = 128,       /* connections that have not sent their request yet */
	PEERS_OF_ONE = 32, /* of one generation */
	FIRST_PLACE = BROKER_FIRST + CASTOFF_OWN,
	DESCRIPTORS = 253, /* SCM_MAX_FD, include/net/scm.h */
};

/*
 * A connection of a process of a generation, until its one request is answered.  Each element of
 * `peers` has a descriptor number of its own.
 */
struct peer {
	int fd; /* -1: none */
	uint32_t generation;
	nanoseconds since;
	struct asker asker;
};

static struct peer peers[PEERS];
static size_t places; /* how many elements have a descriptor number */
static struct roster *the_roster;

static int number_of(const struct peer *peer)
{
	return FIRST_PLACE + (int)(peer - peers);
}

static void drop(struct peer *peer)
{
	castoff_give_up(peer->fd);
	peer->fd = -1;
}

/* ---- which generation ---- */

/* The generation whose keeper that process descends from, or NULL. */
static struct roster_entry *membership(pid_t pid)
{
	for (size_t i = 0; i < ROSTER_MOST; i++) {
		struct roster_entry *entry = &the_roster->entries[i];
		pid_t keeper = (pid_t)atomic_load(&entry->keeper);
		if (atomic_load(&entry->generation) && keeper > 0 && pid != keeper &&
		        tree_has(keeper, pid))
			return entry;
	}
	return NULL;
}

/* ---- requests ---- */

/*
 * One datagram with descriptors.  Returns its length or -errno; *ret_count of `fds` belong to the
 * caller.
 */
static ssize_t receive(int from, void *data, size_t size, int *fds, size_t *ret_count, int flags)
{
	struct iovec part = {data, size};
	_Alignas(struct cmsghdr) static char space[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	*ret_count = 0;
	ssize_t length = recvmsg(from, &message, flags | MSG_CMSG_CLOEXEC);
	if (length < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count && *ret_count < DESCRIPTORS; i++)
			fds[(*ret_count)++] = ((int *)(void *)CMSG_DATA(c))[i];
	}
	if (message.msg_flags & MSG_CTRUNC)
		return -EMFILE;
	return message.msg_flags & MSG_TRUNC ? -EBADMSG : length;
}

static void answer(int peer, const struct moult_reply *reply, const int *fds, size_t count)
{
	/* Failure is ignored: the process may have been killed meanwhile. */
	(void)message_send(peer, reply, sizeof(*reply), fds, count, MSG_DONTWAIT);
}

static void refuse(int peer, int error)
{
	struct moult_reply reply = {.error = error, .listener = -1};
	answer(peer, &reply, NULL, 0);
}

/* The launcher gets the sockets that it may keep, and directories and files; nothing else. */
static size_t list_needed(const struct request *request, int *fds)
{
	size_t count = 0;
	bool keeps = request->verb == MOULT_BIND ||
	             (request->verb == MOULT_LISTEN && request->listener < 0);
	if (keeps && request->is_known)
		fds[count++] = request->socket_fd;
	if (request->directory_fd >= 0)
		fds[count++] = request->directory_fd;
	if (request->other_fd >= 0)
		fds[count++] = request->other_fd;
	return count;
}

static void pass_on(int peer, struct request *request)
{
	int fds[DESCRIPTORS];
	size_t count = list_needed(request, fds);
	struct moult_reply reply;
	/* The launcher may be busy with a switch for a second: the broker does not hang then. */
	atomic_store(&the_roster->busy_since, 0);
	if (message_send(BROKER_LINK, request, sizeof(*request), fds, count, 0) < 0)
		_exit(1);
	/* Only the launcher has the other end: without a whole answer it has died. */
	if (receive(BROKER_LINK, &reply, sizeof(reply), fds, &count, 0) != sizeof(reply))
		_exit(1);
	atomic_store(&the_roster->busy_since, now());
	answer(peer, &reply, fds, count);
	/* The answer's descriptors. */
	for (size_t i = 0; i < count; i++)
		castoff_add(fds[i]);
}

static bool is_members(const struct roster_entry *entry, const struct request *request)
{
	return request->generation == atomic_load(&entry->generation) &&
	       memcmp(request->token, entry->token, MOULT_TOKEN_DIGITS) == 0;
}

/* The launcher logs this once for each generation. */
static void report_contract(struct peer *peer, const char *bytes)
{
	struct request other = {.verb = 0, .generation = peer->generation, .listener = -1};
	memcpy(&other.backlog, bytes, sizeof(uint32_t)); /* the number of its contract */
	other.asker = peer->asker;
	other.socket_fd = other.directory_fd = other.other_fd = -1;
	pass_on(peer->fd, &other);
}

static void serve_request(struct peer *peer, const struct roster_entry *entry, const char *bytes,
        ssize_t length, const int *fds, size_t count)
{
	struct request request;
	int result = length < 0 ? (int)length
	                        : request_decode(bytes, (size_t)length, fds, count, &request);
	if (result == -EPROTO && length >= (ssize_t)sizeof(uint32_t))
		report_contract(peer, bytes);
	else if (result < 0)
		refuse(peer->fd, result);
	else if (!is_members(entry, &request))
		refuse(peer->fd, -EPERM);
	else {
		request.asker = peer->asker;
		pass_on(peer->fd, &request);
	}
	for (size_t i = 0; i < count; i++)
		castoff_add(fds[i]);
}

/* ---- one connection ---- */

/* No request has an ordinary file, whose close may wait: castoff.h. */
static bool has_file(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (castoff_is_file(fds[i]))
			return true;
	return false;
}

static void note_stuck(void *entry, pid_t pid)
{
	roster_note_stuck(entry, pid);
}

static void serve(struct peer *peer)
{
	char bytes[sizeof(struct moult_request) + 1];
	int fds[DESCRIPTORS];
	size_t count = 0;
	struct roster_entry *entry = roster_find(the_roster, peer->generation);
	ssize_t length = 0;
	atomic_store(&the_roster->busy_with, peer->generation);
	if (entry && !roster_is_cut_off(entry)) {
		length = receive(peer->fd, bytes, sizeof(bytes), fds, &count, MSG_DONTWAIT);
		if (length == -EAGAIN || length == -EINTR)
			return;
		if (has_file(fds, count)) {
			refuse(peer->fd, -EBADMSG);
			castoff_leave(note_stuck, entry);
		} else
			serve_request(peer, entry, bytes, length, fds, count);
	}
	drop(peer);
	castoff_tidy();
}

/* ---- connections ---- */

/*
 * A place for one more connection of that generation.  If no place is free, or the generation has
 * PEERS_OF_ONE already, its oldest connection is closed, which has sent nothing yet.  If other
 * generations have all places and this one has none, the oldest connection of all is closed: this
 * one is probably the next generation.
 */
static struct peer *place_for(uint32_t generation)
{
	struct peer *oldest = NULL, *oldest_of_all = NULL, *vacant = NULL;
	size_t count = 0;
	for (size_t i = 0; i < places; i++) {
		struct peer *peer = &peers[i];
		if (peer->fd < 0) {
			vacant = peer;
			continue;
		}
		if (!oldest_of_all || peer->since < oldest_of_all->since)
			oldest_of_all = peer;
		if (peer->generation != generation)
			continue;
		count++;
		if (!oldest || peer->since < oldest->since)
			oldest = peer;
	}
	if (count < PEERS_OF_ONE && vacant)
		return vacant;
	if (!oldest)
		oldest = oldest_of_all;
	if (oldest)
		drop(oldest);
	return oldest;
}

/* No descriptor is free: closes what can be closed, and waits a moment. */
static void make_room(void)
{
	struct peer *oldest = NULL;
	for (size_t i = 0; i < places; i++)
		if (peers[i].fd >= 0 && (!oldest || peers[i].since < oldest->since))
			oldest = &peers[i];
	if (oldest && now() - oldest->since > SECOND)
		drop(oldest);
	castoff_release();
	(void)poll(NULL, 0, 10);
}

static void admit(int fd)
{
	struct asker asker;
	struct roster_entry *entry =
	        asker_of_peer(fd, 0, &asker) == 0 && asker.pid > 0 ? membership(asker.pid) : NULL;
	struct peer *peer = entry && !roster_is_cut_off(entry)
	                            ? place_for(atomic_load(&entry->generation))
	                            : NULL;
	if (!peer) {
		castoff_add(fd);
		return;
	}
	castoff_keep(fd, number_of(peer));
	*peer = (struct peer){.fd = number_of(peer),
	        .generation = atomic_load(&entry->generation),
	        .since = now(),
	        .asker = asker};
	peer->asker.generation = peer->generation;
}

/* Only the connections that exist: poll() refuses more entries than the limit of open files. */
static size_t list_polled(struct pollfd *polled)
{
	size_t count = 2;
	polled[0] = (struct pollfd){.fd = BROKER_SERVER, .events = POLLIN};
	/* Without events: poll() reports only the end of the launcher here. */
	polled[1] = (struct pollfd){.fd = BROKER_LINK};
	for (size_t i = 0; i < places; i++)
		if (peers[i].fd >= 0)
			polled[count++] = (struct pollfd){.fd = peers[i].fd, .events = POLLIN};
	return count;
}

static size_t look(struct pollfd *polled)
{
	size_t count = list_polled(polled);
	atomic_store(&the_roster->busy_with, 0);
	atomic_store(&the_roster->busy_since, 0);
	/* Descriptors that are still to be closed: after 50 ms without work. */
	int ready = poll(polled, count, castoff_is_empty() ? -1 : 50);
	atomic_store(&the_roster->busy_since, now());
	if (ready < 0 && errno != EINTR)
		_exit(1);
	if (ready == 0)
		castoff_release();
	if (ready > 0 && polled[1].revents)
		_exit(0);
	return count;
}

static void begin(struct roster *roster)
{
	the_roster = roster;
	castoff_init(BROKER_FIRST, PEERS);
	places = (size_t)(castoff_floor() - FIRST_PLACE);
	if (places > PEERS)
		places = PEERS;
	for (size_t i = 0; i < places; i++)
		peers[i].fd = -1;
}

_Noreturn void broker_run(struct roster *roster)
{
	struct pollfd polled[PEERS + 2];
	begin(roster);
	for (;;) {
		size_t count = look(polled);
		/* One request of each connection: no generation delays the others for long. */
		for (size_t i = 2; i < count; i++)
			if (polled[i].revents)
				serve(&peers[polled[i].fd - FIRST_PLACE]);
		castoff_tidy();
		if (!(polled[0].revents & POLLIN))
			continue;
		int fd = accept4(BROKER_SERVER, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			admit(fd);
		else if (errno == EMFILE || errno == ENFILE)
			make_room();
	}
}
