/* SPDX-License-Identifier: MIT */
/*
 * The contract between the shim (inside the daemon) and the launcher.
 *
 * It has four parts: one environment variable that tells a process which generation it belongs to,
 * two pieces of shared memory per generation, and requests on a socket.
 *
 *   board   The launcher writes it, the daemon's processes map it read-only: the memfd is sealed
 *           against later writable mappings (F_SEAL_FUTURE_WRITE, Linux 5.1).
 *   tally   The daemon's processes write it.  The launcher takes nothing in it for granted: each
 *           number is checked where it is read, and can at most hurt the generation that wrote it.
 *
 * The launcher keeps a private copy of every word that it writes, and reads no decision back from
 * shared memory.  A daemon needs nothing of this after its start.  When the launcher dies, the
 * generation's keeper, which shares the board, opens the gates (helper/process/keeper.h).
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

/* Any change of what follows is a new version; the launcher refuses to serve another one. */
#define MOULT_CONTRACT 4u

/*
 * MOULT=CONTRACT:GENERATION:TOKEN:PID:UID:ADDRESS
 *
 * TOKEN is 32 hexadecimal digits.  ADDRESS is the name, without the leading NUL, of an abstract UNIX
 * socket: it is reached after chroot() and from any uid (12 of 98 surveyed daemons bind with an
 * already dropped one).  PID and UID are the launcher's.  When the launcher has died, any user may
 * bind ADDRESS; the shim asks nobody but the process with that pid and uid (SO_PEERCRED of a
 * connection is who called listen()).  The shim takes the variable out of the environment when it
 * has read it.
 */
#define MOULT_VARIABLE     "MOULT"
#define MOULT_TOKEN_DIGITS 32

enum {
	MOULT_LISTENERS = 4096, /* per instance at one time */
	MOULT_SLOTS = 65536,    /* processes of one generation that accept; slot 0 is nobody's */
	MOULT_POKES = 256,
};

/*
 * State of one listener in one generation.
 *
 *      (adopted by the next generation)
 *             WARMING ----> OPEN <----> DRAINING
 *      (first generation, restart)^   switch / roll-back
 *
 * and SHUT, from any of them, when the daemon itself called shutdown(): its accept() fails with
 * EINVAL, as it would, while the queue lives on.
 * Only a process of a generation whose gate is OPEN may call the kernel's accept() on a listening
 * socket, or read from a datagram socket.
 */
enum moult_gate_state {
	MOULT_GATE_NONE = 0, /* not a listener of this generation: the shim leaves it alone */
	MOULT_GATE_WARMING = 1,
	MOULT_GATE_OPEN = 2,
	MOULT_GATE_DRAINING = 3,
	MOULT_GATE_SHUT = 4,
};
#define MOULT_GATE_STATE 0xffu /* the part of the word that holds the state */

/*
 * Set beside OPEN while a process of an older generation may still be in the socket's wait queue.
 * An exclusive epoll entry could then lose a wake-up to it (two exclusive waiters: the one that
 * declines swallows the wake), so the shim registers without EPOLLEXCLUSIVE until it is cleared.
 */
#define MOULT_GATE_CROWDED 0x100u

/*
 * Set beside OPEN when a UNIX listener is about to end: nobody can connect any more, what is queued
 * is still to be accepted.  The kernel says EINVAL when the queue is empty then; to the daemon it
 * is just empty.
 */
#define MOULT_GATE_ENDING 0x200u

/*
 * Set beside OPEN by a keeper that has opened the gate in the launcher's stead.  Nobody has set the
 * socket's O_NONBLOCK to what this generation wants: the shim does so before it accepts.
 */
#define MOULT_GATE_ORPHANED 0x400u

/* On the board. */
struct moult_gate {
	/*
	 * Written by the launcher or the keeper, read by the shim, all seq_cst: paired with moult_slot.inflight
	 * (shim: add, then look; launcher: close, then look).  Also a futex: a blocking accept
	 * waits here while the gate is closed.
	 */
	alignas(64) _Atomic uint32_t word;
	_Atomic uint32_t kind; /* enum moult_socket_kind and the port above it (UNIX: 0) */
	/* Inode of the listening socket: how a process recognises a descriptor it did not bind. */
	_Atomic uint64_t inode;
	/*
	 * UNIX sockets, on the boards of all generations: the file that the path names while the
	 * socket is live (0, 0: none).  For an abstract name the device is MOULT_ABSTRACT and the
	 * inode moult_name_hash().
	 */
	_Atomic uint64_t path_device;
	_Atomic uint64_t path_inode;
};

/* In the tally: what the generation's processes say of one listener. */
struct moult_view {
	/*
	 * O_NONBLOCK as this generation believes the listener has it.  The real flag belongs to the
	 * file description all generations share, and follows the generation whose gate is OPEN.
	 */
	_Atomic uint32_t nonblock;
	/* Set by the shim when a process waits for connections here: the readiness of "serving". */
	_Atomic uint32_t waiting;
};

enum moult_socket_kind {
	MOULT_STREAM = 0,   /* somebody accepts: TCP, UNIX stream and seqpacket */
	MOULT_DATAGRAM = 1, /* somebody reads: UDP, UNIX datagram */
	MOULT_KIND_MASK = 0xff,
	MOULT_PORT_SHIFT = 16,
};

#define MOULT_ABSTRACT UINT64_MAX

/* FNV-1a; told apart well enough from the few other names of one instance. */
static inline uint64_t moult_hash(uint64_t hash, const void *bytes, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
	return hash;
}
#define MOULT_HASH_START 0xcbf29ce484222325u

/*
 * In the tally: one per process that accepts, handed out by the launcher (MOULT_SLOT), which knows
 * from the kernel whose it is.  So a slot never outlives its process unnoticed, in whatever pid
 * namespace that is.
 */
struct moult_slot {
	alignas(64) _Atomic uint32_t inflight; /* threads between "may I accept?" and the return */
	_Atomic uint64_t accepted;
	_Atomic uint64_t
	        closed; /* accepted - closed is a hint; the verdict: helper/kernel/audit.h */
	_Atomic uint64_t datagrams; /* read from datagram sockets */
};

/*
 * A connection or datagram of the launcher's own that releases a blocked accept() or read; the shim
 * swallows it.
 */
struct moult_poke {
	_Atomic uint32_t port;       /* of the launcher's end, host order; 0: unused */
	_Atomic uint32_t address[4]; /* IPv6, network order; IPv4 as ::ffff:a.b.c.d */
};

/* The launcher's end of a poke to a UNIX socket: port, and the abstract name that starts so. */
#define MOULT_POKE_UNIX 0x10000u
#define MOULT_POKE_NAME "moult-poke-" /* then `address` as 32 hexadecimal digits */

enum moult_newness {
	MOULT_IS_NEWEST = 0,
	MOULT_HAS_NEWER = 1, /* there is a newer generation */
	MOULT_NEWER_IS_STARTING =
	        2, /* and it is starting, or has just: it may be writing its files */
};

/*
 * Each is one memfd per generation, sealed against a change of size, mapped by every process of it.
 * "sequence" is raised by the launcher after any change of a gate word: a wait compares one number.
 */
struct moult_board {
	uint32_t contract;
	uint32_t size; /* sizeof(struct moult_board) */
	uint32_t generation;
	_Atomic uint32_t sequence;
	_Atomic uint32_t listeners; /* gates in use are [0, listeners) */
	_Atomic uint32_t pokes;     /* pokes in use are among [0, pokes) */
	_Atomic uint32_t paths;     /* UNIX sockets there have been: 0, and no path is ours */
	/*
	 * Set when the generation has been switched to: datagram sockets that it binds from now on to
	 * an address the store does not know are for its own questions, not a service.
	 */
	_Atomic uint32_t serving;
	/* enum moult_newness: a pid file may name a process of a newer generation. */
	_Atomic uint32_t newness;
	struct moult_poke poke[MOULT_POKES];
	struct moult_gate gate[MOULT_LISTENERS];
};

struct moult_tally {
	struct moult_view view[MOULT_LISTENERS];
	struct moult_slot slot[MOULT_SLOTS];
	/*
	 * When a question of this generation last got no answer, in milliseconds of CLOCK_MONOTONIC;
	 * 0: the last one got one.  Every process writes and reads it (shim/member.c), so that a
	 * stopped launcher is waited for once, and not once by each forked process; the launcher does
	 * neither.  On its own, so the order does not matter.  A wrong value makes questions of the
	 * same generation wait for less.
	 */
	alignas(64) _Atomic int64_t silent_at;
};

/*
 * Requests: one connection per request, one datagram each way (SOCK_SEQPACKET).  Descriptors travel
 * as SCM_RIGHTS, in the order in which the table names them.  The launcher answers within
 * MOULT_REPLY_SECONDS or the shim does what libc does.
 *
 * A "place" is where a UNIX socket's path is: a descriptor of the directory (O_PATH), resolved by
 * the daemon (which may have a root and a working directory of its own), and the last component in
 * `address`.
 *
 * Who may ask.  Every request comes from a process that descends from the generation's keeper (by
 * SO_PEERCRED) and knows the generation's token.  Beyond that:
 *
 *   HELLO, SLOT           nothing more
 *   BIND, LISTEN (new),   the generation is the next or the current one.  An older one may only
 *   YIELD, REPLACE,       bind again what it holds already.
 *   UNLINKED, MOVED
 *   BIND, LISTEN (new),   a stored listener is handed to a process that could make one itself: root;
 *   REPLACE               the user that bound the listener; another user only where this generation
 *                         does not hold the listener yet, and only if that user could bind the
 *                         address (a port that needs no privilege, a directory that he may write)
 *   LISTEN (known),       the socket of that listener comes along: nobody speaks of a socket that he
 *   TEMPLATE, SHUT,       does not have
 *   CLOSED, CONNECTED,
 *   MOVED
 *   UNLINKED, REPLACE     the place names the listener's file, and the process may remove it there
 *   REMOVED               the process may read the file
 *
 * An older generation changes nothing but its own gates.
 */
#define MOULT_REPLY_SECONDS 5

enum moult_verb {
	MOULT_HELLO = 1, /* -> the memfds of board and tally; a slot of this process is emptied */
	/*
	 * The fresh socket [, place], address -> listener and its fd: to be taken in its stead; or -1:
	 * to be bound.  MOULT_ASK_AGAIN: another process is binding that address just now.
	 */
	MOULT_BIND = 2,
	/*
	 * listener known: its socket, backlog -> the backlog to listen with.
	 * Else the socket: TCP not yet listening, the launcher makes it listen; UNIX listening, a
	 * datagram socket bound -> listener, and its fd when that is another socket, to be taken.
	 */
	MOULT_LISTEN = 3,
	MOULT_CLOSED = 4,   /* the socket, listener: who bound it closes it; no answer */
	MOULT_SHUT = 5,     /* the socket, listener: shutdown() -> when its accepts have returned */
	MOULT_TEMPLATE = 6, /* the socket, listener: -> the socket with the options since bind() */
	MOULT_BIND_BESIDE =
	        7, /* the fresh socket, address: bind() said EADDRINUSE -> 0: try again */
	/*
	 * listener, place: its path is gone, as the daemon believes.  -ENOENT: the place is another
	 * link to it, and goes.
	 */
	MOULT_UNLINKED = 8,
	/* place, the socket, listener: its path has been renamed to that.  Without the two: one that
	   does not listen yet */
	MOULT_MOVED = 9,
	/*
	 * Place, the directory of `other`, listener: the socket at the place was to be renamed over
	 * `other`, that listener's path -> listener's fd and, as backlog, the listener that the socket
	 * stands for (-1: one that does not listen yet).
	 */
	MOULT_REPLACE = 10,
	/* The socket, listener: a datagram socket that has a peer now: no service any more */
	MOULT_CONNECTED = 11,
	/*
	 * Place, or a file (O_PATH): a process of an older generation removes or empties a small one -> 0: it is
	 * the pid file of a newer one, and stays; -ENOENT: it is not.
	 */
	MOULT_REMOVED = 12,
	/*
	 * The socket, address: a TCP connection to there is about to be made.  0: it would find a
	 * listener of the generation before, which this one does not have (yet).
	 */
	MOULT_CALLING = 13,
	MOULT_SLOT = 14, /* -> as listener: the slot of this process; -ENOSPC: there is none */
};

/* Ask again in a moment.  No errno: a socket's own time-out says EAGAIN. */
#define MOULT_ASK_AGAIN (-4096)

/* A regular file that is longer is no pid file; the longest one seen has eight lines. */
enum { MOULT_PID_FILE_MOST = 512 };

enum { MOULT_DESCRIPTORS = 2, MOULT_NAME_ROOM = 108 };

struct moult_request {
	uint32_t contract;
	uint32_t verb;
	uint32_t generation;
	int32_t listener; /* index or -1 */
	int32_t backlog;
	uint32_t address_length;
	char token[MOULT_TOKEN_DIGITS];
	struct sockaddr_storage address;
	char other[MOULT_NAME_ROOM]; /* REPLACE: a last component, ended by NUL */
};

struct moult_reply {
	int32_t error; /* 0 or -errno */
	int32_t listener;
	int32_t backlog;
};
