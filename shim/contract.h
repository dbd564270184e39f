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
#define MOULT_CONTRACT 1u

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
 * Only a process of a generation whose gate is OPEN may call the kernel's accept().
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
	uint32_t reserved;
	/* Inode of the listening socket: how a process recognises a descriptor it did not bind. */
	_Atomic uint64_t inode;
};

/* One per process that accepts.  Written by the shim, read (and not believed) by the launcher. */
struct moult_slot {
	alignas(64) _Atomic uint32_t pid; /* 0: free */
	_Atomic uint32_t inflight; /* threads between "may I accept?" and accept()'s return */
	_Atomic uint64_t accepted;
	_Atomic uint64_t closed; /* accepted - closed is a hint; the verdict: helper/audit.h */
};

/* A connection the launcher makes to release a blocked accept(); the shim swallows it. */
struct moult_poke {
	_Atomic uint32_t port;       /* of the launcher's end, host order; 0: unused */
	_Atomic uint32_t address[4]; /* IPv6, network order; IPv4 as ::ffff:a.b.c.d */
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
	struct moult_poke poke[MOULT_POKES];
	struct moult_gate gate[MOULT_LISTENERS];
	struct moult_slot slot[MOULT_SLOTS];
};

/*
 * Messages: one connection per request, one datagram each way (SOCK_SEQPACKET).  Descriptors travel
 * as SCM_RIGHTS.  The launcher answers within MOULT_REPLY_SECONDS or the shim does what libc does.
 */
#define MOULT_REPLY_SECONDS 5

enum moult_verb {
	MOULT_HELLO = 1,  /* -> the page's memfd */
	MOULT_BIND = 2,   /* fd = the fresh socket, address -> listener >= 0 and its fd, or -1 */
	MOULT_LISTEN = 3, /* listener known: backlog; else fd = the listening socket -> listener */
	MOULT_CLOSED = 4, /* listener: the process that bound it has closed it; no answer */
	MOULT_SHUT =
	        5, /* listener: shutdown() was called on it -> when its accepts have returned */
};

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
};
