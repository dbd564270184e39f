/* SPDX-License-Identifier: MIT */
/* The life of a listening socket in this process. */
#include "shim/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "shim/connection.h"
#include "shim/fdtable.h"
#include "shim/gate.h"
#include "shim/interest.h"
#include "shim/member.h"
#include "shim/poke.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/sandbox.h"

/* What this process remembers of a listener; forked children have their own copy. */
struct local {
	_Atomic uint32_t watched;     /* has been given to poll or select */
	_Atomic uint32_t declined_at; /* number of the wait after which an accept was turned away */
	_Atomic uint32_t owner;       /* pid that bound it or called listen() */
	_Atomic uint32_t taken_over_at; /* the board's sequence + 1 then */
};
static struct local local[MOULT_LISTENERS];
static _Atomic uint32_t waits; /* poll, select and epoll_wait calls begun */
static _Atomic bool known;

bool listener_known(void)
{
	return atomic_load_explicit(&known, memory_order_relaxed);
}

void listener_learn(int fd, int listener)
{
	fd_set_kind(fd, FD_LISTENER + (unsigned)listener);
	atomic_store(&known, true);
	gate_resettle();
}

int listener_of(int fd)
{
	unsigned kind = fd_kind(fd);
	if (kind >= FD_LISTENER)
		return (int)(kind - FD_LISTENER);
	if (kind != FD_UNKNOWN || !member_board || (unsigned)fd >= FD_TABLE)
		return -1;
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	if (!count)
		return -1;
	struct stat status;
	if (raw(SYS_fstat, fd, &status) < 0 || !S_ISSOCK(status.st_mode))
		return -1;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].inode) == status.st_ino &&
		        gate_state((int)i) != MOULT_GATE_NONE) {
			listener_learn(fd, (int)i);
			interest_discover(fd, (int)i, 0);
			return (int)i;
		}
	return -1;
}

void listener_received(int fd)
{
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	listener_of(fd);
}

void listener_own(int listener)
{
	atomic_store(&local[listener].owner, (uint32_t)member_pid());
	member_serves();
}

static int fail(int error)
{
	errno = error;
	return -1;
}

int listener_shutdown(int listener, int fd, int how)
{
	if (gate_is_datagram(listener)) /* what the kernel says of one without a peer */
		return fail(ENOTCONN);
	struct moult_request request = {.verb = MOULT_SHUT, .listener = listener};
	struct moult_reply reply;
	/* Without a launcher nobody else has the socket, and nobody would answer for its queue. */
	if (member_ask(&request, fd, -1, &reply, NULL) == -ECONNREFUSED)
		return real.shutdown(fd, how);
	return 0;
}

/* ---- accept ---- */

int64_t listener_receive_timeout(int fd)
{
	struct timeval limit = {0};
	socklen_t length = sizeof(limit);
	if (raw(SYS_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &length) < 0 ||
	        (!limit.tv_sec && !limit.tv_usec))
		return -1;
	return limit.tv_sec * (int64_t)1000000 + limit.tv_usec;
}

bool listener_is_watched(int listener)
{
	return atomic_load_explicit(&local[listener].watched, memory_order_relaxed) ||
	       interest_watches(listener);
}

bool listener_was_announced(int listener)
{
	uint32_t wait = atomic_load(&waits);
	return listener_is_watched(listener) &&
	       atomic_exchange(&local[listener].declined_at, wait) != wait;
}

/* The kernel's accept; with the peer's address for us where getpeername() is forbidden. */
static int accept_now(
        int fd, struct sockaddr *address, socklen_t *length, int flags, bool *ret_poke)
{
	struct sockaddr_storage peer = {0};
	socklen_t size = sizeof(peer);
	bool ours = sandbox_denies(SYS_getpeername);
	struct sockaddr *to = ours ? (struct sockaddr *)&peer : address;
	socklen_t *room = ours ? &size : length;
	int result = flags < 0 ? real.accept(fd, to, room) : real.accept4(fd, to, room, flags);
	if (result < 0)
		return result;
	*ret_poke = ours ? poke_is_from(&peer, size) : poke_is_peer(result);
	for (socklen_t i = 0; ours && address && length && i < size && i < *length; i++)
		((char *)address)[i] = ((char *)&peer)[i];
	if (ours && address && length)
		*length = size;
	return result;
}

void listener_take_over(int listener, int fd)
{
	uint32_t sequence = atomic_load(&member_board->sequence) + 1;
	if (atomic_load(&local[listener].taken_over_at) == sequence)
		return;
	bool nonblock;
	do {
		nonblock = atomic_load(&gate_view(listener)->nonblock);
		long flags = raw(SYS_fcntl, fd, F_GETFL);
		if (flags >= 0 && nonblock != !!(flags & O_NONBLOCK))
			raw(SYS_fcntl, fd, F_SETFL, flags ^ O_NONBLOCK);
	} while (nonblock != !!atomic_load(&gate_view(listener)->nonblock));
	int listens = 1;
	socklen_t length = sizeof(listens);
	if (!gate_is_datagram(listener) &&
	        raw(SYS_getsockopt, fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length) >= 0 &&
	        !listens)
		raw(SYS_listen, fd, SOMAXCONN);
	atomic_store(&local[listener].taken_over_at, sequence);
}

int listener_accept(int listener, int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	const struct moult_gate *gate = gate_of(listener);
	socklen_t given = length ? *length : 0;
	gate_mark_waiting(listener);
	for (;;) {
		bool nonblock =
		        atomic_load_explicit(&gate_view(listener)->nonblock, memory_order_relaxed);
		gate_enter();
		uint32_t word = atomic_load(&gate->word);
		uint32_t state = word & MOULT_GATE_STATE;
		if (gate_is_open(word)) {
			int saved = errno;
			bool poke = false;
			if (__builtin_expect(word & MOULT_GATE_ORPHANED, 0))
				listener_take_over(listener, fd);
			int result = accept_now(fd, address, length, flags, &poke);
			gate_leave();
			if (result >= 0 && !poke) {
				connection_opened(result);
				return result;
			}
			if (result >= 0) {
				raw(SYS_close, result);
				if (length)
					*length = given;
				if (!nonblock && listener_is_watched(listener))
					return fail(ECONNABORTED);
				continue;
			}
			/* A final stop ends the queue with shutdown(); the gate says so before. */
			if (errno != EINVAL ||
			        (!(word & MOULT_GATE_ENDING) && atomic_load(&gate->word) == word))
				return result;
			errno = saved;
			if (!(word & MOULT_GATE_ENDING))
				continue;
		}
		gate_withdraw(); /* of what gate_leave() has given back there is none left */
		if (state == MOULT_GATE_SHUT)
			return fail(EINVAL);
		if (nonblock)
			return fail(EAGAIN);
		if (listener_was_announced(listener))
			return fail(ECONNABORTED);
		int slept = gate_sleep(listener, word, listener_receive_timeout(fd));
		if (slept < 0)
			return fail(slept == -ETIMEDOUT ? EAGAIN : -slept);
	}
}

/* ---- flags ---- */

int listener_get_flags(int listener, int fd)
{
	int flags = real.fcntl(fd, F_GETFL);
	if (flags < 0)
		return flags;
	return atomic_load(&gate_view(listener)->nonblock) ? flags | O_NONBLOCK
	                                                   : flags & ~O_NONBLOCK;
}

/*
 * The view is written first, then, if it is our turn, the real flag, inside the bracket that holds
 * a switch up.  The launcher sets the real flag from the view when it opens the gate and reads the
 * view again afterwards: whoever comes second sees the other's write.
 */
int listener_set_flags(int listener, int fd, long flags)
{
	const struct moult_gate *gate = gate_of(listener);
	atomic_store(&gate_view(listener)->nonblock, flags & O_NONBLOCK ? 1 : 0);
	gate_enter();
	if (!gate_is_open(atomic_load(&gate->word))) {
		long present = raw(SYS_fcntl, fd, F_GETFL);
		flags = (flags & ~(long)O_NONBLOCK) | (present > 0 ? present & O_NONBLOCK : 0);
	}
	int result = real.fcntl(fd, F_SETFL, flags);
	gate_leave();
	return result;
}

int listener_set_nonblock(int listener, int fd, unsigned long request, int *argument)
{
	if (!argument)
		return real.ioctl(fd, request, argument);
	const struct moult_gate *gate = gate_of(listener);
	atomic_store(&gate_view(listener)->nonblock, *argument ? 1 : 0);
	gate_enter();
	int result = 0;
	if (gate_is_open(atomic_load(&gate->word)))
		result = real.ioctl(fd, request, argument);
	gate_leave();
	return result;
}

/* ---- waiting ---- */

void listener_watched(int listener)
{
	if (!atomic_load_explicit(&local[listener].watched, memory_order_relaxed))
		atomic_store_explicit(&local[listener].watched, 1, memory_order_relaxed);
	gate_mark_waiting(listener);
}

void listener_wait_begun(void)
{
	atomic_fetch_add_explicit(&waits, 1, memory_order_relaxed);
}

/* ---- close, dup, exec ---- */

void listener_closing(int fd)
{
	unsigned kind = fd_kind(fd);
	if (kind ==
	        FD_CONNECTION) { /* a hint: not worth a getpid() for the sake of vfork children */
		connection_closing(fd);
		return;
	}
	if (member_is_borrowed())
		return;
	if (kind == FD_EPOLL)
		interest_drop_epoll(fd);
	if (kind < FD_LISTENER) {
		fd_set_kind(fd, FD_UNKNOWN);
		return;
	}
	int listener = (int)(kind - FD_LISTENER);
	interest_drop(fd);
	fd_set_kind(fd, FD_UNKNOWN);
	gate_resettle();
	if (fd_count(listener) == 0 &&
	        atomic_load(&local[listener].owner) == (uint32_t)member_pid()) {
		atomic_store(&local[listener].owner, 0);
		struct moult_request request = {.verb = MOULT_CLOSED, .listener = listener};
		member_tell(&request, fd);
	}
}

void listener_duplicated(int from, int to)
{
	unsigned kind = fd_kind(from);
	if (kind >= FD_LISTENER && !member_is_borrowed())
		fd_set_kind(to, kind);
}

/* Descriptors are handed out from the lowest: who inherits a listener has it below this number. */
enum { INHERITED = 1024 };

void listener_inherit(void)
{
	if (!atomic_load(&member_board->listeners))
		return;
	for (int fd = 0; fd < INHERITED; fd++)
		listener_of(fd);
}

bool listener_survives_exec(void)
{
	for (int fd = 0, end = atomic_load(&fd_table_end); fd < end; fd++) {
		if (fd_kind(fd) < FD_LISTENER)
			continue;
		long flags = raw(SYS_fcntl, fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			return true;
	}
	return false;
}
