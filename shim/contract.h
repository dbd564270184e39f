/* SPDX-License-Identifier: MIT */
/*
 * The contract between the shim (inside the daemon) and the launcher.
 *
 * It has three parts: one environment variable that tells a process which generation it belongs to,
 * one page of shared memory per generation, and four messages on a socket.  The launcher trusts
 * nothing it reads from the page or the messages: it keeps its own truth, writes the page from it,
 * and looks at every descriptor it is sent.  The daemon in turn needs nothing of it after start: if
 * the launcher is gone the gates stay as they are, and that is a daemon that serves.
 */
#pragma once

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/socket.h>

/* Any change of what follows is a new version; the launcher refuses to serve another one. */
#define MOULT_CONTRACT 3u

/*
 * MOULT=CONTRACT:GENERATION:TOKEN:ADDRESS
 *
 * TOKEN is 32 hexadecimal digits; ADDRESS the name, without the leading NUL, of an abstract UNIX
 * socket: those are reached after chroot() and from any uid (12 of 98 surveyed daemons bind with an
 * already dropped one).  The shim takes the variable out of the environment when it has read it.
 */
#define MOULT_VARIABLE     "MOULT"
#define MOULT_TOKEN_DIGITS 32

enum {
	MOULT_LISTENERS =
	        4096,       /* per instance, over its whole life; an index is never used twice */
	MOULT_SLOTS = 4096, /* processes of one generation with a slot of their own */
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

struct moult_gate {
	/*
	 * Written by the launcher, read by the shim, both seq_cst: paired with moult_slot.inflight
	 * (shim: add, then look; launcher: close, then look).  Also a futex: a blocking accept
	 * waits here while the gate is closed.
	 */
	alignas(64) _Atomic uint32_t word;
	/*
	 * O_NONBLOCK as this generation believes the listener has it.  The real flag belongs to the
	 * file description all generations share, and follows the generation whose gate is OPEN.
	 */
	_Atomic uint32_t nonblock;
	/* Set by the shim when a process waits for connections here: the readiness of "serving". */
	_Atomic uint32_t waiting;
	_Atomic uint32_t kind; /* enum moult_socket_kind and the port above it (UNIX: 0) */
	/* Inode of the listening socket: how a process recognises a descriptor it did not bind. */
	_Atomic uint64_t inode;
	/*
	 * UNIX sockets, in the pages of all generations: the file that the path names while the
	 * socket is live (0, 0: none).  For an abstract name the device is MOULT_ABSTRACT and the
	 * inode moult_name_hash().
	 */
	_Atomic uint64_t path_device;
	_Atomic uint64_t path_inode;
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

/* One per process that accepts.  Written by the shim, read (and not believed) by the launcher. */
struct moult_slot {
	alignas(64) _Atomic uint32_t pid; /* 0: free */
	_Atomic uint32_t inflight; /* threads between "may I accept?" and accept()'s return */
	_Atomic uint64_t accepted;
	_Atomic uint64_t closed;    /* accepted - closed is a hint; the verdict: helper/audit.h */
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

enum moult_succession {
	MOULT_NEWEST = 0,
	MOULT_SUPERSEDED = 1, /* there is a newer generation */
	MOULT_SUCCEEDED = 2,  /* and it is starting, or has just: it may be writing its files */
};

/*
 * One memfd per generation, sealed against a change of size, mapped by every process of it.
 * "sequence" is raised by the launcher after any change of a gate word: a wait compares one number.
 */
struct moult_page {
	uint32_t contract;
	uint32_t size; /* sizeof(struct moult_page) */
	uint32_t generation;
	_Atomic uint32_t sequence;
	_Atomic uint32_t listeners; /* gates in use are [0, listeners) */
	_Atomic uint32_t slots; /* slots ever in use are [0, slots); slot 0 takes the overflow */
	_Atomic uint32_t pokes; /* pokes in use are among [0, pokes) */
	_Atomic uint32_t paths; /* UNIX sockets there have been: 0, and no path is ours */
	/*
	 * Set when the generation has been switched to: datagram sockets that it binds from now on to
	 * an address the store does not know are for its own questions, not a service.
	 */
	_Atomic uint32_t serving;
	/* enum moult_succession: a pid file may name a process of a newer generation. */
	_Atomic uint32_t superseded;
	struct moult_poke poke[MOULT_POKES];
	struct moult_gate gate[MOULT_LISTENERS];
	struct moult_slot slot[MOULT_SLOTS];
};

/*
 * Messages: one connection per request, one datagram each way (SOCK_SEQPACKET).  Descriptors travel
 * as SCM_RIGHTS.  The launcher answers within MOULT_REPLY_SECONDS or the shim does what libc does.
 *
 * A "place" is where a UNIX socket's path is: a descriptor of the directory, resolved by the daemon
 * (which may have a root and a working directory of its own), and the last component in the
 * address.
 */
#define MOULT_REPLY_SECONDS 5

enum moult_verb {
	MOULT_HELLO = 1, /* -> the page's memfd */
	/*
	 * The fresh socket [, place], address -> listener and its fd: to be taken in its stead; or -1:
	 * to be bound.  -EAGAIN: another process is binding that address just now, ask again.
	 */
	MOULT_BIND = 2,
	/*
	 * listener known: backlog -> the backlog to listen with.
	 * Else the socket: TCP not yet listening, the launcher makes it listen; UNIX listening, a
	 * datagram socket bound -> listener, and its fd when that is another socket, to be taken.
	 */
	MOULT_LISTEN = 3,
	MOULT_CLOSED = 4, /* listener: the process that bound it has closed it; no answer */
	MOULT_SHUT = 5,   /* listener: shutdown() was called -> when its accepts have returned */
	MOULT_TEMPLATE =
	        6, /* listener: -> the socket that holds the options set since bind(), or -1 */
	MOULT_YIELD = 7, /* the fresh socket, address: bind() said EADDRINUSE -> 0: try again */
	/*
	 * listener [, place]: its path is gone, as the daemon believes.  -ENOENT: the place is another
	 * link to it, and goes.
	 */
	MOULT_UNLINKED = 8,
	/* listener (-1: one that does not listen yet), place: its path has been renamed to that */
	MOULT_MOVED = 9,
	/*
	 * listener, place: the socket there was to be renamed over that listener's path -> listener's
	 * fd and, as backlog, the listener that it stands for (-1: one that does not listen yet).
	 */
	MOULT_REPLACE = 10,
	MOULT_CONNECTED =
	        11, /* listener: a datagram socket that has a peer now: no service any more */
	/*
	 * place, or a file: a superseded generation removes or empties a small one -> 0: it is the pid file of a
	 * newer one, and stays; -ENOENT: it is not.
	 */
	MOULT_REMOVED = 12,
	/*
	 * The socket, address: a TCP connection to there is about to be made.  0: it would find a
	 * listener of the generation before, which this one does not have (yet).
	 */
	MOULT_CALLING = 13,
};

/* A regular file that is longer is no pid file; the longest one seen has eight lines. */
enum { MOULT_PID_FILE_MOST = 512 };

struct moult_request {
	uint32_t contract;
	uint32_t verb;
	uint32_t generation;
	int32_t listener; /* index or -1 */
	int32_t backlog;
	uint32_t address_length;
	char token[MOULT_TOKEN_DIGITS];
	struct sockaddr_storage address;
};

struct moult_reply {
	int32_t error; /* 0 or -errno */
	int32_t listener;
	int32_t backlog;
};
