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
#include "shim/interest_discover.h"
#include "shim/member.h"
#include "shim/member_ask.h"
#include "shim/poke.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/sandbox.h"
#include "shim/socket.h"

/* What this process remembers of a listener; a forked child has its own copy. */
struct local {
	_Atomic uint32_t watched;       /* was given to poll or select */
	_Atomic uint32_t declined_at;   /* the wait after which an accept was turned away */
	_Atomic uint32_t owner;         /* pid of the process that bound it or called listen() */
	_Atomic uint32_t taken_over_at; /* the board's sequence + 1 at the take-over */
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
	if (member_is_borrowed())
		return;
	fd_set_kind(fd, FD_LISTENER + (unsigned)listener);
	atomic_store(&known, true);
	gate_resettle();
}

/* ---- recognised ---- */

/* The port of the socket's own address; 0 if it has none, as a UNIX socket. */
static uint32_t port_of(int fd)
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(name);
	if (raw(SYS_getsockname, fd, &name, &length) < 0 || !socket_is_inet(name.ss_family))
		return 0;
	return socket_port((const void *)&name);
}

/*
 * Is `fd` a socket of the same kind and port as the listener, and without a peer?  Inode numbers
 * have 32 bits and are used again, so a socket with a listener's inode number may be another one,
 * perhaps a connection.  A question that a filter denies counts as a yes.
 */
static bool is_like(int fd, int listener)
{
	uint32_t kind = atomic_load(&gate_of(listener)->kind);
	int type = socket_option(fd, SO_TYPE);
	if (type == -EPERM)
		return true;
	if ((type == SOCK_DGRAM) != gate_is_datagram(listener))
		return false;
	/* A listener that listens only from the switch on does not say so yet. */
	if (socket_option(fd, SO_ACCEPTCONN) != 1) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		long result = raw(SYS_getpeername, fd, &peer, &length);
		if (result != -ENOTCONN && result != -EPERM)
			return false;
	}
	return !(kind >> MOULT_PORT_SHIFT) || port_of(fd) == kind >> MOULT_PORT_SHIFT;
}

/*
 * The listener that `fd` is by its inode, or -1.  *ret_open: `fd` is open; false also if there are
 * no listeners.
 */
static int look(int fd, bool *ret_open)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	struct stat status;
	*ret_open = count && raw(SYS_fstat, fd, &status) >= 0;
	if (!*ret_open || !S_ISSOCK(status.st_mode))
		return -1;
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].inode) == status.st_ino &&
		        gate_state((int)i) != MOULT_GATE_NONE && is_like(fd, (int)i))
			return (int)i;
	return -1;
}

int listener_look(int fd)
{
	bool is_open;
	return look(fd, &is_open);
}

/* The kind that the table gives to a descriptor that is none of the listeners there are now. */
static unsigned foreign_now(void)
{
	uint32_t edition = atomic_load_explicit(&member_board->sequence, memory_order_acquire) +
	                   atomic_load_explicit(&member_board->listeners, memory_order_relaxed);
	return FD_FOREIGN + edition % FD_EDITIONS;
}

int listener_of(int fd)
{
	unsigned kind = fd_kind(fd);
	if (fd_kind_listener(kind) >= 0)
		return fd_kind_listener(kind);
	if ((kind != FD_UNKNOWN && kind < FD_FOREIGN) || !member_board || (unsigned)fd >= FD_TABLE)
		return -1;
	unsigned foreign = foreign_now(); /* read before the look */
	bool is_open;
	int listener = look(fd, &is_open);
	if (listener < 0) {
		if (is_open) /* a closed one is not remembered */
			fd_set_foreign(fd, kind, foreign);
		return -1;
	}
	if (!member_is_borrowed()) {
		listener_learn(fd, listener);
		interest_discover(fd, listener, 0);
	}
	return listener;
}

int listener_if_new(int fd)
{
	unsigned kind = fd_kind(fd);
	return kind >= FD_FOREIGN && kind == foreign_now() ? -1 : listener_of(fd);
}

int listener_to_accept(int fd)
{
	if (fd_kind(fd) == FD_CONNECTION) /* no program accepts from a connection */
		fd_set_kind(fd, FD_UNKNOWN);
	return listener_of(fd);
}

int listener_here(int fd)
{
	int listener = listener_of(fd);
	return listener >= 0 && member_is_borrowed() ? listener_look(fd) : listener;
}

bool listener_is_mistaken(int listener, int fd)
{
	return member_is_borrowed() && listener_look(fd) != listener;
}

void listener_received(int fd)
{
	if (fd_kind(fd) != FD_UNKNOWN)
		listener_closing(fd);
	listener_of(fd);
}

void listener_own(int listener)
{
	if (member_is_borrowed())
		return;
	atomic_store(&local[listener].owner, (uint32_t)member_pid());
	member_serves();
}

int listener_shutdown(int listener, int fd, int how)
{
	if (gate_is_datagram(listener)) /* as the kernel for a socket without a peer */
		return fail(ENOTCONN);
	struct moult_request request = {.verb = MOULT_SHUT, .listener = listener};
	struct moult_reply reply;
	/* Without a launcher no other generation has the socket, so its queue may end. */
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
	return listener_is_watched(listener) && !member_is_borrowed() &&
	       atomic_exchange(&local[listener].declined_at, wait) != wait;
}

void listener_take_over(int listener, int fd)
{
	uint32_t sequence = atomic_load(&member_board->sequence) + 1;
	/* In a vfork child `fd` may be another file, and the memory is its parent's. */
	if (atomic_load(&local[listener].taken_over_at) == sequence || member_is_borrowed())
		return;
	bool nonblock;
	do {
		nonblock = atomic_load(&gate_view(listener)->nonblock);
		long flags = raw(SYS_fcntl, fd, F_GETFL);
		if (flags >= 0 && nonblock != !!(flags & O_NONBLOCK))
			raw(SYS_fcntl, fd, F_SETFL, flags ^ O_NONBLOCK);
	} while (nonblock != !!atomic_load(&gate_view(listener)->nonblock));
	if (!gate_is_datagram(listener) && socket_option(fd, SO_ACCEPTCONN) == 0)
		raw(SYS_listen, fd, SOMAXCONN);
	atomic_store(&local[listener].taken_over_at, sequence);
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
 * Writes the view first, and then, if the gate is open, the real flag; the latter with a
 * reservation, which holds up a switch.  The launcher sets the real flag from the view when it
 * opens the gate, and reads the view again afterwards.  So whichever of the two comes second sees
 * the other's write.
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
	if (!atomic_load_explicit(&local[listener].watched, memory_order_relaxed) &&
	        !member_is_borrowed())
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
	if (kind == FD_CONNECTION ||
	        kind >= FD_FOREIGN) { /* without the getpid() (shim/fdtable.h) */
		if (kind == FD_CONNECTION)
			connection_closing(fd);
		else
			fd_set_kind(fd, FD_UNKNOWN);
		return;
	}
	if (member_is_borrowed())
		return;
	if (kind == FD_EPOLL)
		interest_drop_epoll(fd);
	int listener = fd_kind_listener(kind);
	if (listener < 0) {
		fd_set_kind(fd, FD_UNKNOWN);
		return;
	}
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
	bool copied = kind == FD_EPOLL || fd_kind_listener(kind) >= 0;
	/* Otherwise the table describes a file that was closed without our knowledge. */
	fd_set_kind(to, copied ? kind : (unsigned)FD_UNKNOWN);
}

/*
 * listener_inherit() looks at the numbers below this one: the kernel gives the lowest free number,
 * so a program that inherits a listener has it among these.
 */
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
		if (fd_listener(fd) < 0)
			continue;
		long flags = raw(SYS_fcntl, fd, F_GETFD);
		if (flags >= 0 && !(flags & FD_CLOEXEC))
			return true;
	}
	return false;
}
