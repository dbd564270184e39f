/* SPDX-License-Identifier: MIT */
/* How a socket of the daemon becomes a listener that generations share. */
#include "shim/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <time.h>

#include "shim/connection.h"
#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/interest.h"
#include "shim/listener.h"
#include "shim/place.h"
#include "shim/procfs.h"
#include "shim/raw.h"
#include "shim/real.h"

#ifndef MCAST_JOIN_GROUP
#define MCAST_JOIN_GROUP         42
#define MCAST_LEAVE_GROUP        45
#define MCAST_JOIN_SOURCE_GROUP  46
#define MCAST_LEAVE_SOURCE_GROUP 47
#endif

static bool is_index(int listener)
{
	return listener >= 0 && listener < MOULT_LISTENERS;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);
	return raw(SYS_getsockopt, fd, SOL_SOCKET, name, &value, &size) < 0 ? -1 : value;
}

static bool is_inet(int family)
{
	return family == AF_INET || family == AF_INET6;
}

static uint16_t port_of(const struct sockaddr *address)
{
	/* The port is at the same place in both families. */
	return ntohs(((const struct sockaddr_in *)(const void *)address)->sin_port);
}

/* ---- bind ---- */

/* A port that is, or has been, served by connections or by datagrams. */
static bool is_known_port(enum moult_socket_kind what, uint16_t port)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	uint32_t kind = (uint32_t)what | (uint32_t)port << MOULT_PORT_SHIFT;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].kind) == kind)
			return true;
	return false;
}

/*
 * Datagram sockets are bound to ask questions, too: those to port 0, and all that a generation binds
 * once it serves, unless it is to an address that is known as a service.
 */
static bool is_service(int family, const struct sockaddr *address, socklen_t length)
{
	bool serving = atomic_load(&member_board->serving);
	if (is_inet(family))
		return port_of(address) &&
		       (!serving || is_known_port(MOULT_DATAGRAM, port_of(address)));
	return !serving || place_listener_at(address, length) >= 0;
}

/* Connected, from a listener of ours by its name: what accept() has returned, or a copy of it. */
static bool is_client(int fd)
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(name);
	if (raw(SYS_getpeername, fd, &name, &length) < 0)
		return false;
	length = sizeof(name);
	if (raw(SYS_getsockname, fd, &name, &length) < 0 || option(fd, SO_TYPE) == SOCK_DGRAM)
		return false;
	if (is_inet(name.ss_family))
		return is_known_port(MOULT_STREAM, port_of((void *)&name));
	return name.ss_family == AF_UNIX && length > sizeof(name.ss_family);
}

/* Numbers are handed out from the lowest, and this is no process with many. */
static bool has_client(void)
{
	for (int fd = 0; fd < 1024; fd++)
		if (is_client(fd))
			return true;
	return false;
}

/*
 * A listener that ends with its client is no service.  The next generation has no use for it, and
 * the client, who has been told of it, may come to it after the switch.  A process that serves many
 * may open a service late, but not to a port that nobody can know: that is for a client it has, or
 * to talk to itself through.
 */
static bool is_of_session(const struct sockaddr *address, socklen_t length)
{
	if (!atomic_load(&member_board->serving))
		return false;
	if (!connection_is_session())
		return is_inet(address->sa_family) && !port_of(address) && connection_is_acceptor();
	bool known = is_inet(address->sa_family)
	                     ? port_of(address) && is_known_port(MOULT_STREAM, port_of(address))
	                     : place_listener_at(address, length) >= 0;
	return !known && has_client();
}

static bool may_be_ours(int fd, const struct sockaddr *address, socklen_t length)
{
	if (!address || length <= sizeof(address->sa_family) ||
	        length > sizeof(struct sockaddr_storage) || member_is_borrowed())
		return false;
	int family = address->sa_family, type = option(fd, SO_TYPE);
	if (is_inet(family) && length >= 16 /* up to and with the port, in both families */)
		return type == SOCK_STREAM
		               ? !is_of_session(address, length)
		               : type == SOCK_DGRAM && is_service(family, address, length);
	return family == AF_UNIX &&
	       (((type == SOCK_STREAM || type == SOCK_SEQPACKET) &&
	                !is_of_session(address, length)) ||
	               (type == SOCK_DGRAM && is_service(family, address, length)));
}

/*
 * The shared socket takes the place of the daemon's, under the daemon's own number and with its
 * FD_CLOEXEC.  `stored` is consumed.  False: another thread opens that number at this moment.
 */
static bool take_place(int fd, int listener, int stored)
{
	long flags = raw(SYS_fcntl, fd, F_GETFL);
	long descriptor_flags = raw(SYS_fcntl, fd, F_GETFD);
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	interest_discover(fd, listener, 1);
	long result = raw(SYS_dup3, stored, fd,
	        descriptor_flags > 0 && (descriptor_flags & FD_CLOEXEC) ? O_CLOEXEC : 0);
	raw(SYS_close, stored);
	if (result < 0)
		return false;
	listener_learn(fd, listener);
	listener_own(listener);
	int saved = errno;
	listener_set_flags(listener, fd, flags > 0 ? flags : 0);
	errno = saved;
	return true;
}

/* By itself, so that the request is off the stack when the answer is acted upon. */
static __attribute__((noinline)) int ask_to_keep(
        int fd, int backlog, int64_t deadline, int *ret_listener, int *ret_stored)
{
	struct moult_request request = {.verb = MOULT_LISTEN, .listener = -1, .backlog = backlog};
	struct moult_reply reply = {.listener = -1};
	int error = member_ask_until(deadline, &request, fd, -1, &reply, ret_stored);
	*ret_listener = reply.listener;
	return error;
}

/* 0: the launcher keeps the socket, or has one that it is replaced by.  Else -errno. */
static int announce(int fd, int backlog, int64_t deadline)
{
	int listener = -1, stored = -1;
	int error = ask_to_keep(fd, backlog, deadline, &listener, &stored);
	if (error < 0)
		return error;
	if (stored >= 0 && is_index(listener))
		return take_place(fd, listener, stored) ? 0 : -EBUSY;
	if (stored >= 0) {
		raw(SYS_close, stored);
		return -EBUSY;
	}
	if (!is_index(listener)) /* it listens, but will not be handed over */
		return 0;
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	listener_learn(fd, listener);
	listener_own(listener);
	interest_discover(fd, listener, 0);
	return 0;
}

/* UNIX sockets have been bound that are not announced before they listen, and may be moved. */
static atomic_bool bound_paths;

static void nap(void)
{
	struct timespec t = {0, 1000000};
	raw(SYS_nanosleep, &t, NULL);
}

static void request_set_address(
        struct moult_request *request, const struct sockaddr *address, socklen_t length)
{
	request->address_length = length;
	for (socklen_t i = 0; i < length; i++)
		((char *)&request->address)[i] = ((const char *)address)[i];
}

/*
 * The address is taken: by another one of the running generation's, perhaps, that it overlaps and
 * will take the place of.
 */
static __attribute__((noinline)) int bind_beside(
        int fd, const struct sockaddr *address, socklen_t length, int saved, int64_t deadline)
{
	struct moult_request request = {.verb = MOULT_BIND_BESIDE, .listener = -1};
	struct moult_reply reply;
	int before = option(fd, SO_REUSEPORT);
	request_set_address(&request, address, length);
	const int on = 1;
	if (member_ask_until(deadline, &request, fd, -1, &reply, NULL) < 0)
		return -1; /* errno is bind()'s */
	raw(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	int result = real.bind(fd, address, length);
	if (result == 0)
		errno = saved;
	else
		raw(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEPORT, &before, sizeof(before));
	return result;
}

static int bind_fresh(int fd, const struct sockaddr *address, socklen_t length, int64_t deadline)
{
	int saved = errno;
	int result = real.bind(fd, address, length);
	if (result < 0 && errno == EADDRINUSE && is_inet(address->sa_family) && port_of(address))
		result = bind_beside(fd, address, length, saved, deadline);
	/* There is no listen() to come. */
	if (result == 0 && option(fd, SO_TYPE) == SOCK_DGRAM)
		(void)announce(fd, 0, deadline); /* if it cannot be: as without us */
	else if (result == 0 && address->sa_family == AF_UNIX)
		atomic_store(&bound_paths, true);
	return result;
}

/* What the launcher says of a bind(). */
enum answer {
	BIND_NATIVE, /* there is nothing to ask: the kernel says what is wrong */
	BIND_FRESH,
	BIND_STORED, /* there is another socket to be taken in its stead */
};

/* By itself, as ask_to_keep() is. */
static __attribute__((noinline)) enum answer ask_to_bind(int fd, const struct sockaddr *address,
        socklen_t length, int64_t deadline, int *ret_listener, int *ret_stored)
{
	char room[PLACE_ROOM];
	struct moult_request request = {.verb = MOULT_BIND, .listener = -1};
	struct moult_reply reply = {.listener = -1};
	int directory = -1, stored = -1, error;
	const char *path = address->sa_family == AF_UNIX ? place_of(address, length, room) : NULL;
	if (path) {
		directory = place_open(AT_FDCWD, path, &request);
		if (directory < 0)
			return BIND_NATIVE;
	} else
		request_set_address(&request, address, length);
	while ((error = member_ask_until(deadline, &request, fd, directory, &reply, &stored)) ==
	                MOULT_ASK_AGAIN &&
	        member_clock() < deadline)
		nap();
	if (directory >= 0)
		raw(SYS_close, directory);
	if (error >= 0 && stored >= 0 && is_index(reply.listener)) {
		*ret_listener = reply.listener;
		*ret_stored = stored;
		return BIND_STORED;
	}
	if (stored >= 0)
		raw(SYS_close, stored);
	return BIND_FRESH;
}

int adopt_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	if (fd_kind(fd) == FD_PRIVATE)
		fd_set_kind(fd, FD_UNKNOWN);
	if (!may_be_ours(fd, address, length)) {
		int result = real.bind(fd, address, length);
		if (result == 0 && is_inet(address->sa_family) && !port_of(address) &&
		        fd_kind(fd) == FD_UNKNOWN && !member_is_borrowed() &&
		        is_of_session(address, length))
			fd_set_kind(fd, FD_PRIVATE);
		return result;
	}
	/* For all questions that follow. */
	int64_t deadline = member_clock() + MOULT_REPLY_SECONDS * INT64_C(1000);
	int listener = -1, stored = -1;
	switch (ask_to_bind(fd, address, length, deadline, &listener, &stored)) {
	case BIND_STORED:
		return take_place(fd, listener, stored) ? 0 : real.bind(fd, address, length);
	case BIND_FRESH: return bind_fresh(fd, address, length, deadline);
	default: return real.bind(fd, address, length);
	}
}

/* ---- listen ---- */

/*
 * Again, or for the first time on an adopted one: with the backlog that the launcher allows while
 * another generation has the queue.  The call is the daemon's, for clients of a UNIX socket are told
 * who made it (SO_PEERCRED).
 */
static int listen_again(int listener, int fd, int backlog)
{
	struct moult_request request = {
	        .verb = MOULT_LISTEN, .listener = listener, .backlog = backlog};
	struct moult_reply reply;
	if (member_ask(&request, fd, -1, &reply, NULL) < 0)
		return real.listen(fd, backlog);
	listener_own(listener);
	if (reply.listener < 0) /* not before the switch */
		return 0;
	return real.listen(fd, reply.backlog);
}

/* By itself, as ask_to_keep() is. */
static __attribute__((noinline)) bool is_bound_by_session(int fd)
{
	struct sockaddr_storage bound = {.ss_family = AF_UNSPEC};
	struct sockaddr *address = (void *)&bound;
	socklen_t length = sizeof(bound);
	return raw(SYS_getsockname, fd, &bound, &length) >= 0 &&
	       (is_inet(bound.ss_family) || bound.ss_family == AF_UNIX) &&
	       length > sizeof(bound.ss_family) && is_of_session(address, length);
}

int adopt_listen(int fd, int backlog)
{
	int listener = listener_of(fd);
	if (listener >= 0 && !gate_is_datagram(listener))
		return listen_again(listener, fd, backlog);
	if (fd_kind(fd) == FD_PRIVATE || is_bound_by_session(fd))
		return real.listen(fd, backlog);
	/* TCP: the launcher makes it listen, so that two of a group cannot both be the first. */
	if (is_inet(option(fd, SO_DOMAIN)) && option(fd, SO_TYPE) == SOCK_STREAM)
		return announce(fd, backlog, INT64_MAX) == 0 ? 0 : real.listen(fd, backlog);
	int result = real.listen(fd, backlog);
	if (result == 0)
		(void)announce(fd, backlog, INT64_MAX); /* if it cannot be: as without us */
	return result;
}

/* ---- connect ---- */

/* Of the instance, and not bound by this generation. */
static bool is_strange_port(uint16_t port)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	uint32_t kind = MOULT_STREAM | (uint32_t)port << MOULT_PORT_SHIFT;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].kind) == kind &&
		        gate_state((int)i) == MOULT_GATE_NONE)
			return true;
	return false;
}

static bool hides_port(int fd, const struct sockaddr *address, socklen_t length)
{
	struct moult_request request = {.verb = MOULT_CALLING, .listener = -1};
	struct moult_reply reply;
	if (length < 16 || length > sizeof(struct sockaddr_storage) || !port_of(address) ||
	        !is_strange_port(port_of(address)) || option(fd, SO_TYPE) != SOCK_STREAM)
		return false;
	request_set_address(&request, address, length);
	return member_ask(&request, fd, -1, &reply, NULL) == 0;
}

bool adopt_hides(int fd, const struct sockaddr *address, socklen_t length)
{
	if (!address || length <= sizeof(address->sa_family) || atomic_load(&member_board->serving))
		return false;
	if (is_inet(address->sa_family))
		return hides_port(fd, address, length);
	int listener = place_listener_at(address, length);
	return listener >= 0 && gate_state(listener) == MOULT_GATE_NONE;
}

void adopt_connected(int listener, int fd)
{
	struct moult_request request = {.verb = MOULT_CONNECTED, .listener = listener};
	struct moult_reply reply;
	/* Without a launcher nobody shares it. */
	(void)member_ask(&request, fd, -1, &reply, NULL);
}

/* ---- options ---- */

/* The template's descriptor, for the caller to close; -1: the options are the socket's own. */
static int template_of(int listener, int fd)
{
	struct moult_request request = {.verb = MOULT_TEMPLATE, .listener = listener};
	struct moult_reply reply;
	int template = -1;
	if (gate_state(listener) != MOULT_GATE_WARMING)
		return -1;
	(void)member_ask(&request, fd, -1, &reply, &template);
	return template;
}

static bool is_join(int level, int name)
{
	return (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == MCAST_JOIN_GROUP ||
	                                       name == IP_ADD_SOURCE_MEMBERSHIP ||
	                                       name == MCAST_JOIN_SOURCE_GROUP)) ||
	       (level == IPPROTO_IPV6 && (name == IPV6_JOIN_GROUP || name == MCAST_JOIN_GROUP ||
	                                         name == MCAST_JOIN_SOURCE_GROUP));
}

static bool is_leave(int level, int name)
{
	return (level == IPPROTO_IP && (name == IP_DROP_MEMBERSHIP || name == MCAST_LEAVE_GROUP ||
	                                       name == IP_DROP_SOURCE_MEMBERSHIP ||
	                                       name == MCAST_LEAVE_SOURCE_GROUP)) ||
	       (level == IPPROTO_IPV6 && (name == IPV6_LEAVE_GROUP || name == MCAST_LEAVE_GROUP ||
	                                         name == MCAST_LEAVE_SOURCE_GROUP));
}

/* The groups are the shared socket's: the generation before has joined, a later one stays. */
static int set_membership(
        int listener, int fd, int level, int name, const void *value, socklen_t length)
{
	int saved = errno;
	if (is_leave(level, name) && gate_state(listener) != MOULT_GATE_OPEN)
		return 0;
	int result = real.setsockopt(fd, level, name, value, length);
	if (result < 0 && errno == EADDRINUSE && gate_state(listener) == MOULT_GATE_WARMING) {
		errno = saved;
		result = 0;
	}
	return result;
}

int adopt_set_option(int listener, int fd, int level, int name, const void *value, socklen_t length)
{
	if (is_join(level, name) || is_leave(level, name))
		return set_membership(listener, fd, level, name, value, length);
	int template = template_of(listener, fd);
	if (template <0)
		return real.setsockopt(fd, level, name, value, length);
	int result = real.setsockopt(template, level, name, value, length);
	raw(SYS_close, template);
	return result;
}

/* What only the socket itself knows; all else is as the daemon has set it on the template. */
static bool is_state(int level, int name)
{
	return (level == SOL_SOCKET && (name == SO_ACCEPTCONN || name == SO_ERROR)) ||
	       (level == IPPROTO_TCP && name == TCP_INFO);
}

int adopt_get_option(int listener, int fd, int level, int name, void *value, socklen_t *length)
{
	int template = is_state(level, name) ? -1 : template_of(listener, fd);
	int result = real.getsockopt(template >= 0 ? template : fd, level, name, value, length);
	if (template >= 0)
		raw(SYS_close, template);
	/* One that will only listen at the switch does so for the daemon. */
	if (result < 0 || !value || !length || gate_is_datagram(listener) ||
	        gate_state(listener) != MOULT_GATE_WARMING)
		return result;
	if (level == SOL_SOCKET && name == SO_ACCEPTCONN && *length == sizeof(int))
		*(int *)value = 1;
	if (level == IPPROTO_TCP && name == TCP_INFO && *length > 0)
		*(uint8_t *)value = TCP_LISTEN; /* tcpi_state, the first byte */
	return result;
}

/* ---- paths ---- */

bool adopt_unlinked(int listener, int at, const char *path)
{
	struct moult_request request = {.verb = MOULT_UNLINKED, .listener = listener};
	struct moult_reply reply;
	int directory = place_open(at, path, &request);
	if (directory < 0)
		return false;
	int error = member_ask(&request, directory, -1, &reply, NULL);
	raw(SYS_close, directory);
	return error == 0;
}

bool adopt_keeps_file(int at, const char *path)
{
	struct moult_request request = {.verb = MOULT_REMOVED, .listener = -1};
	struct moult_reply reply;
	int directory = place_open(at, path, &request);
	if (directory < 0)
		return false;
	int error = member_ask(&request, directory, -1, &reply, NULL);
	raw(SYS_close, directory);
	return error == 0;
}

bool adopt_keeps_open_file(int fd)
{
	struct moult_request request = {.verb = MOULT_REMOVED, .listener = -1};
	struct moult_reply reply;
	static const char start[] = "/proc/self/fd/";
	char path[sizeof(start) + PROCFS_DIGITS];
	/* The launcher takes no descriptor the closing of which could hold it up: O_PATH. */
	long file = raw(SYS_openat, AT_FDCWD, procfs_name(start, fd, path), O_PATH | O_CLOEXEC);
	if (file < 0)
		return false;
	int error = member_ask(&request, (int)file, -1, &reply, NULL);
	raw(SYS_close, file);
	return error == 0;
}

/* Every descriptor of this process that was the one becomes the other. */
static void replace_all(int from, int to, int stored)
{
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++)
		if (fd_listener(fd) == from) {
			long copy = raw(SYS_fcntl, stored, F_DUPFD_CLOEXEC, 3);
			if (copy >= 0)
				take_place(fd, to, (int)copy);
		}
	raw(SYS_close, stored);
}

/*
 * By itself, as ask_to_keep() is.  *ret_stored (-1: none) is the listener's socket, for the caller to
 * close, and *ret_old the listener that it is to replace.
 */
static __attribute__((noinline)) int ask_to_replace(int listener, int from_at, const char *from,
        int to_at, const char *to, int *ret_old, int *ret_stored)
{
	struct moult_request request = {.verb = MOULT_REPLACE, .listener = listener};
	struct moult_reply reply = {.listener = -1};
	int directory = place_open(from_at, from, &request);
	int over = place_open_as(to_at, to, request.other, sizeof(request.other));
	int error = -EINVAL;
	if (directory >= 0 && over >= 0)
		error = member_ask(&request, directory, over, &reply, ret_stored);
	if (directory >= 0)
		raw(SYS_close, directory);
	if (over >= 0)
		raw(SYS_close, over);
	*ret_old = reply.backlog;
	return error;
}

bool adopt_replaces(int listener, int from_at, const char *from, int to_at, const char *to)
{
	int old = -1, stored = -1;
	if (ask_to_replace(listener, from_at, from, to_at, to, &old, &stored) < 0)
		return false;
	if (stored >= 0)
		replace_all(old, listener, stored);
	raw(SYS_unlinkat, from_at, from, 0);
	return true;
}

void adopt_moved(int listener, int to_at, const char *to)
{
	struct moult_request request = {.verb = MOULT_MOVED, .listener = listener};
	struct moult_reply reply;
	if (listener < 0 && (!atomic_load(&bound_paths) || !place_is_socket(to_at, to)))
		return;
	int directory = place_open(to_at, to, &request);
	if (directory < 0)
		return;
	(void)member_ask(
	        &request, directory, listener < 0 ? -1 : fd_of_listener(listener), &reply, NULL);
	raw(SYS_close, directory);
}
