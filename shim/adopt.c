/* SPDX-License-Identifier: MIT */
/* How a socket of the daemon becomes a listener that generations share: bind() and listen(). */
#include "shim/adopt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "shim/adopt_service.h"
#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/interest_discover.h"
#include "shim/listener.h"
#include "shim/member_ask.h"
#include "shim/place.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/socket.h"

static bool is_index(int listener)
{
	return listener >= 0 && listener < MOULT_LISTENERS;
}

/* ---- bind ---- */

bool adopt_take_place(int fd, int listener, int stored)
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

/*
 * A function of its own, so that request and reply are off the stack when the answer is acted upon.
 */
static __attribute__((noinline)) int ask_to_keep(
        int fd, int backlog, int64_t deadline, int *ret_listener, int *ret_stored)
{
	struct moult_request request = {.verb = MOULT_LISTEN, .listener = -1, .backlog = backlog};
	struct moult_reply reply = {.listener = -1};
	int error = member_ask_until(deadline, &request, fd, -1, &reply, ret_stored);
	*ret_listener = reply.listener;
	return error;
}

/*
 * 0: the launcher keeps the socket, or has given another one that now stands in its place.  Else
 * -errno.
 */
static int announce(int fd, int backlog, int64_t deadline)
{
	int listener = -1, stored = -1;
	int error = ask_to_keep(fd, backlog, deadline, &listener, &stored);
	if (error < 0)
		return error;
	if (stored >= 0 && is_index(listener))
		return adopt_take_place(fd, listener, stored) ? 0 : -EBUSY;
	if (stored >= 0) {
		raw(SYS_close, stored);
		return -EBUSY;
	}
	if (!is_index(listener)) /* the socket listens, but is not handed over */
		return 0;
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	listener_learn(fd, listener);
	listener_own(listener);
	interest_discover(fd, listener, 0);
	return 0;
}

static atomic_bool bound_paths;

bool adopt_has_bound_paths(void)
{
	return atomic_load(&bound_paths);
}

static void nap(void)
{
	struct timespec t = {0, 1000000};
	raw(SYS_nanosleep, &t, NULL);
}

/*
 * bind() said EADDRINUSE: perhaps the address overlaps a listener of the running generation that
 * this socket is to replace (0.0.0.0:80 and 127.0.0.1:80).  If the launcher agrees, bind() is tried
 * once more with SO_REUSEPORT.
 */
static __attribute__((noinline)) int bind_beside(
        int fd, const struct sockaddr *address, socklen_t length, int saved, int64_t deadline)
{
	struct moult_request request = {.verb = MOULT_BIND_BESIDE, .listener = -1};
	struct moult_reply reply;
	int before = socket_option(fd, SO_REUSEPORT);
	member_set_address(&request, address, length);
	const int on = 1;
	if (member_ask_until(deadline, &request, fd, -1, &reply, NULL) < 0)
		return -1; /* errno is still the one of bind() */
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
	if (result < 0 && errno == EADDRINUSE && socket_is_inet(address->sa_family) &&
	        socket_port(address))
		result = bind_beside(fd, address, length, saved, deadline);
	/* A datagram socket is announced now: it has no listen() to come. */
	if (result == 0 && socket_option(fd, SO_TYPE) == SOCK_DGRAM)
		(void)announce(fd, 0, deadline); /* on failure: as without the launcher */
	else if (result == 0 && address->sa_family == AF_UNIX)
		atomic_store(&bound_paths, true);
	return result;
}

/* What the launcher says to a bind(). */
enum answer {
	BIND_NATIVE, /* nothing to ask: the kernel tells what is wrong */
	BIND_FRESH,
	BIND_STORED, /* another socket takes the place of this one */
};

/* A function of its own for the same reason as ask_to_keep(). */
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
		member_set_address(&request, address, length);
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
	if (!adopt_may_share(fd, address, length)) {
		int result = real.bind(fd, address, length);
		if (result == 0 && socket_is_inet(address->sa_family) && !socket_port(address) &&
		        fd_kind(fd) == FD_UNKNOWN && !member_is_borrowed() &&
		        adopt_is_of_session(address, length))
			fd_set_kind(fd, FD_PRIVATE);
		return result;
	}
	/* One deadline for all requests of this bind(). */
	int64_t deadline = member_clock() + MOULT_REPLY_SECONDS * INT64_C(1000);
	int listener = -1, stored = -1;
	switch (ask_to_bind(fd, address, length, deadline, &listener, &stored)) {
	case BIND_STORED:
		return adopt_take_place(fd, listener, stored) ? 0 : real.bind(fd, address, length);
	case BIND_FRESH: return bind_fresh(fd, address, length, deadline);
	default: return real.bind(fd, address, length);
	}
}

/* ---- listen ---- */

/*
 * listen() once more, or for the first time on an adopted listener.  While another generation
 * accepts from the queue, the launcher says which backlog is allowed.  The call itself is made here
 * and not by the launcher: clients of a UNIX socket are told who made it (SO_PEERCRED).
 */
static int listen_again(int listener, int fd, int backlog)
{
	struct moult_request request = {
	        .verb = MOULT_LISTEN, .listener = listener, .backlog = backlog};
	struct moult_reply reply;
	if (member_ask(&request, fd, -1, &reply, NULL) < 0)
		return real.listen(fd, backlog);
	listener_own(listener);
	if (reply.listener < 0) /* the kernel's listen() is made at the switch */
		return 0;
	return real.listen(fd, reply.backlog);
}

int adopt_listen(int fd, int backlog)
{
	int listener = listener_of(fd);
	if (listener >= 0 && !gate_is_datagram(listener))
		return listen_again(listener, fd, backlog);
	if (fd_kind(fd) == FD_PRIVATE || adopt_is_bound_by_session(fd))
		return real.listen(fd, backlog);
	/*
	 * The launcher makes a TCP socket listen, so that two sockets of one SO_REUSEPORT group
	 * cannot both be the first.
	 */
	if (socket_is_inet(socket_option(fd, SO_DOMAIN)) &&
	        socket_option(fd, SO_TYPE) == SOCK_STREAM)
		return announce(fd, backlog, INT64_MAX) == 0 ? 0 : real.listen(fd, backlog);
	int result = real.listen(fd, backlog);
	if (result == 0)
		(void)announce(fd, backlog, INT64_MAX); /* on failure: as without the launcher */
	return result;
}
