/* SPDX-License-Identifier: MIT */
/*
 * The contract between the library (inside the daemon) and the launcher.
 *
 * The contract has four parts: one environment variable that tells a process which generation it
 * belongs to, two pieces of shared memory for each generation, and requests on a socket.
 *
 *   board   The launcher writes it.  The daemon's processes map it read-only: the memfd is sealed
 *           against later writable mappings (F_SEAL_FUTURE_WRITE, Linux 5.1).
 *   tally   The daemon's processes write it.  The launcher trusts no number in it: each number is
 *           checked where it is read, and can at most harm the generation that wrote it.
 *
 * The launcher keeps a private copy of every word that it writes, and reads no decision back from
 * shared memory.  After its start a daemon needs no launcher.  When the launcher dies, the
 * generation's keeper, which shares the board, opens the gates (helper/process/keeper.h).
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

/* Every change below is a new version.  The launcher refuses to serve any other version. */
#define MOULT_CONTRACT 4u

/*
 * This text is in the file of the library.  A package upgrade replaces the file under running
 * launchers.  So a launcher looks for the text before it starts a program with the library.
 */
#define MOULT_CONTRACT_TEXT             MOULT_CONTRACT_TEXT_OF(MOULT_CONTRACT)
#define MOULT_CONTRACT_TEXT_OF(x)       MOULT_CONTRACT_PREFIX MOULT_CONTRACT_TEXT_EXPANDED(x)
#define MOULT_CONTRACT_TEXT_EXPANDED(x) #x
#define MOULT_CONTRACT_PREFIX           "moult-contract="

/*
 * MOULT=CONTRACT:GENERATION:TOKEN:PID:UID:ADDRESS
 *
 * TOKEN is 32 hexadecimal digits.  ADDRESS is the name, without the leading NUL, of an abstract
 * UNIX socket: such a socket is reached after chroot() and by every user (12 of 98 surveyed daemons
 * bind after they have changed to another user).  PID and UID are the launcher's.  After the
 * launcher's death, any user may bind ADDRESS, so the library only asks a process with that pid and
 * uid (SO_PEERCRED of a connection tells who called listen()).  The library removes the variable
 * from the environment when it has read it.
 */
#define MOULT_VARIABLE     "MOULT"
#define MOULT_TOKEN_DIGITS 32

enum {
	MOULT_LISTENERS = 4096, /* of an instance at one time */
	MOULT_SLOTS = 65536,    /* processes of one generation that accept; slot 0 is not used */
	MOULT_POKES = 256,
};

/*
 * State of one listener in one generation.
 *
 *      (adopted by the next generation)
 *             WARMING ----> OPEN <----> DRAINING
 *      (first generation, restart)^   switch / roll-back
 *
 * SHUT follows any of them when the daemon itself calls shutdown().  Its accept() then fails with
 * EINVAL, as it would without moult, while the queue lives on.
 *
 * Only a process of a generation whose gate is OPEN may call the kernel's accept() on a listening
 * socket, or read from a datagram socket.
 */
enum moult_gate_state {
	MOULT_GATE_NONE = 0, /* not a listener of this generation: the library does not interfere */
	MOULT_GATE_WARMING = 1,
	MOULT_GATE_OPEN = 2,
	MOULT_GATE_DRAINING = 3,
	MOULT_GATE_SHUT = 4,
};
#define MOULT_GATE_STATE 0xffu /* the bits of the word that hold the state */

/*
 * Set beside OPEN while a process of an older generation may still be in the socket's wait queue.
 * If two exclusive epoll entries wait there, and the wake-up goes to the process that declines, the
 * wake-up is lost.  So the library registers without EPOLLEXCLUSIVE while this is set.
 */
#define MOULT_GATE_CROWDED 0x100u

/*
 * Set beside OPEN when a UNIX listener is about to end: nobody can connect any more, but
 * connections in the queue are still to be accepted.  When the queue is empty, the kernel's
 * accept() says EINVAL; the daemon is shown an empty queue.
 */
#define MOULT_GATE_ENDING 0x200u

/*
 * Set beside OPEN by a keeper that has opened the gate in place of the launcher.  The socket's
 * O_NONBLOCK is not yet what this generation wants: the library sets it before it accepts.
 */
#define MOULT_GATE_ORPHANED 0x400u

/* On the board: one listener. */
struct moult_gate {
	/*
	 * Written by the launcher or the keeper, read by the library, all seq_cst.  Paired with
	 * moult_slot.inflight: the library adds, then looks; the launcher closes, then looks.  Also
	 * a futex: a blocking accept() sleeps here while the gate is closed.
	 */
	alignas(64) _Atomic uint32_t word;
	_Atomic uint32_t kind; /* enum moult_socket_kind; above it the port (UNIX: 0) */
	/*
	 * Inode of the listening socket.  A process recognises a descriptor that it did not bind by
	 * it.
	 */
	_Atomic uint64_t inode;
	/*
	 * For UNIX sockets, on the boards of all generations: the file that the path names while
	 * the socket is live (0, 0: none).  For an abstract name the device is MOULT_ABSTRACT and
	 * the inode is the name's moult_hash().
	 */
	_Atomic uint64_t path_device;
	_Atomic uint64_t path_inode;
};

/* In the tally: what the generation's processes say of one listener. */
struct moult_view {
	/*
	 * O_NONBLOCK of the listener as this generation has set it.  The real flag belongs to the
	 * file description that all generations share; its value is that of the generation whose
	 * gate is OPEN.
	 */
	_Atomic uint32_t nonblock;
	/* Set by the library when a process waits for connections here: the readiness "serving". */
	_Atomic uint32_t waiting;
};

enum moult_socket_kind {
	MOULT_STREAM = 0,   /* accepts connections: TCP, UNIX stream and seqpacket */
	MOULT_DATAGRAM = 1, /* is read from: UDP, UNIX datagram */
	MOULT_KIND_MASK = 0xff,
	MOULT_PORT_SHIFT = 16,
};

#define MOULT_ABSTRACT UINT64_MAX

/* FNV-1a.  It only has to tell the few names of one instance apart. */
static inline uint64_t moult_hash(uint64_t hash, const void *bytes, uint64_t length)
{
	for (uint64_t i = 0; i < length; i++)
		hash = (hash ^ ((const unsigned char *)bytes)[i]) * 0x100000001b3u;
	return hash;
}
#define MOULT_HASH_START 0xcbf29ce484222325u

/*
 * In the tally: one for each process that accepts.  The launcher gives them out (MOULT_SLOT), and
 * knows from the kernel which process asks, in whatever pid namespace that is.  So the launcher
 * notices when the process of a slot has ended.
 */
struct moult_slot {
	alignas(64) _Atomic uint32_t inflight; /* threads between gate word and accept()'s return */
	_Atomic uint64_t accepted;
	/* accepted - closed is a hint; helper/kernel/audit.h decides whether a generation is empty. */
	_Atomic uint64_t closed;
	_Atomic uint64_t datagrams; /* read from datagram sockets */
};

/*
 * A poke: a connection or datagram of the launcher's own that releases a blocked accept() or read.
 * The library hides it from the daemon.
 */
struct moult_poke {
	_Atomic uint32_t port;       /* of the launcher's end, host order; 0: not in use */
	_Atomic uint32_t address[4]; /* IPv6, network order; IPv4 as ::ffff:a.b.c.d */
};

/*
 * The launcher's end of a poke to a UNIX socket: the value of `port`, and how its abstract name
 * begins.
 */
#define MOULT_POKE_UNIX 0x10000u
#define MOULT_POKE_NAME "moult-poke-" /* then `address` as 32 hexadecimal digits */

enum moult_newness {
	MOULT_IS_NEWEST = 0,
	MOULT_HAS_NEWER = 1, /* there is a newer generation */
	/* and it is starting, or has just started, and may be writing its files */
	MOULT_NEWER_IS_STARTING = 2,
};

/*
 * Board and tally are one memfd each for a generation.  They are sealed against a change of size,
 * and mapped by every process of the generation.  The launcher raises `sequence` after any change
 * of a gate word, so a wait only has to compare one number.
 */
struct moult_board {
	uint32_t contract;
	uint32_t size; /* sizeof(struct moult_board) */
	uint32_t generation;
	_Atomic uint32_t sequence;
	_Atomic uint32_t listeners; /* the gates in use are [0, listeners) */
	_Atomic uint32_t pokes;     /* the pokes in use are among [0, pokes) */
	_Atomic uint32_t paths;     /* UNIX sockets there have been; 0: no path is ours */
	/*
	 * Set when the generation has been switched to.  From then on, a datagram socket that it
	 * binds to an address that the launcher does not know is for questions of its own, and not
	 * a service.
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
	 * When a question of this generation last got no answer, in milliseconds of
	 * CLOCK_MONOTONIC; 0: the last question got one.  Every process writes and reads it
	 * (shim/member_ask.c), so that a stopped launcher is waited for once, and not once by each
	 * forked process.  The launcher neither reads nor writes it.  No other word depends on it,
	 * so the memory order does not matter.  A wrong value only makes questions of this
	 * generation wait for a shorter time.
	 */
	alignas(64) _Atomic int64_t silent_at;
};

/*
 * Requests.  Each is one connection (SOCK_SEQPACKET) with one datagram each way.  Descriptors are
 * sent as SCM_RIGHTS, in the order in which the list of verbs names them.  The launcher answers
 * within MOULT_REPLY_SECONDS; otherwise the library does what libc does.
 *
 * A "place" is where the path of a UNIX socket is: a descriptor of the directory (O_PATH), and the
 * last component in `address`.  The daemon resolves the path, since its root and its working
 * directory may not be the launcher's.
 *
 * Who may ask.  Every request comes from a process that descends from the generation's keeper (by
 * SO_PEERCRED) and knows the generation's token.  Beyond that:
 *
 *   HELLO, SLOT           nothing more
 *   BIND, LISTEN (new),   the generation is the next or the current one.  An older one may only
 *   BIND_BESIDE, REPLACE, BIND again what it holds already.
 *   MOVED, CALLING
 *   UNLINKED              the generation is the next or the current one, or holds the listener, or
 *                         made its path
 *   BIND, LISTEN (new),   a stored listener is handed to a process that could make one itself:
 *   BIND_BESIDE, REPLACE  root; the user that took the listener before; where this generation does
 *                         not hold the listener yet, also the user of the generation's first
 *                         process, if that user could bind the address (a port that needs no
 *                         privilege, a directory that the user may write)
 *   LISTEN (known),       the socket of that listener is sent along, so no process speaks of a
 *   TEMPLATE, SHUT,       socket that it does not have
 *   CLOSED, CONNECTED,
 *   MOVED
 *   UNLINKED, REPLACE     the place names the listener's file, and the process may remove that file
 *   REMOVED               the process may read the file
 *
 * An older generation changes nothing but its own gates, and paths that it made.
 */
#define MOULT_REPLY_SECONDS 5

enum moult_verb {
	/* -> the memfds of board and tally.  A slot of this process is emptied. */
	MOULT_HELLO = 1,
	/*
	 * The new socket [, place], address -> a listener and its fd, to be used instead; or
	 * listener -1: the new socket is to be bound.  MOULT_ASK_AGAIN: another process is binding
	 * that address just now.
	 */
	MOULT_BIND = 2,
	/*
	 * With a listener: its socket, backlog -> the backlog to listen with.
	 *
	 * Without: the socket -> a listener, and its fd if that is another socket, to be used
	 * instead.  A TCP socket does not listen yet, and the launcher makes it listen; a UNIX
	 * socket listens already; a datagram socket is bound.
	 */
	MOULT_LISTEN = 3,
	/* The socket, listener: the process that bound it closes it.  No reply. */
	MOULT_CLOSED = 4,
	/* The socket, listener: shutdown() -> sent when its accepts have returned. */
	MOULT_SHUT = 5,
	/* The socket, listener -> the template: the socket with the options set since bind(). */
	MOULT_TEMPLATE = 6,
	/* The new socket, address: bind() said EADDRINUSE -> 0: bind() is to be tried again. */
	MOULT_BIND_BESIDE = 7,
	/*
	 * Listener, place: the daemon removes the path, and is told that it is gone -> 0.  -ENOENT:
	 * the place is another link to the socket, which the daemon is to remove.
	 */
	MOULT_UNLINKED = 8,
	/*
	 * Place, the socket, listener: the listener's path has been renamed to that place.  Without
	 * socket and listener: a socket that does not listen yet.
	 */
	MOULT_MOVED = 9,
	/*
	 * Place, the directory of `other`, listener: the socket at the place is to be renamed over
	 * `other`, which is the path of `listener` -> fd of the listener and, as backlog, the
	 * listener that the socket at the place is; or no fd and -1: a socket that does not listen
	 * yet.
	 */
	MOULT_REPLACE = 10,
	/* The socket, listener: a datagram socket that has a peer now is no service any more. */
	MOULT_CONNECTED = 11,
	/*
	 * Place, or a file (O_PATH): a process of an older generation removes or empties a small
	 * file -> 0: it is the pid file of a newer generation, and stays; -ENOENT: it is not.
	 */
	MOULT_REMOVED = 12,
	/*
	 * The socket, address: a TCP connection to that address is about to be made -> 0: it would
	 * reach a listener that another generation has, and this one does not have (yet).
	 */
	MOULT_CALLING = 13,
	/* -> as listener: the slot of this process; -ENOSPC: there is none. */
	MOULT_SLOT = 14,
};

/* Ask again in a moment.  This is not an errno: EAGAIN is what a time-out of the socket says. */
#define MOULT_ASK_AGAIN (-4096)

/* A longer regular file is no pid file.  The longest pid file seen has eight lines. */
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
	char other[MOULT_NAME_ROOM]; /* REPLACE: a last component, with a NUL at its end */
};

struct moult_reply {
	int32_t error; /* 0 or -errno */
	int32_t listener;
	int32_t backlog;
};
