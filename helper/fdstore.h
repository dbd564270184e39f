/* SPDX-License-Identifier: MIT */
/*
 * The fd store: a duplicate of every listening socket, so that its queue outlives every generation.
 *
 * What is kept of a socket is what the kernel says of it (getsockname, getsockopt), never what a
 * daemon claims.  A listener's number is its index in the store and in every generation's page, and
 * is never used for another one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "helper/audit.h"
#include "shim/contract.h"

enum listener_state {
	LISTENER_GONE, /* closed; the number stays taken */
	LISTENER_LIVE,
	LISTENER_RETIRING, /* no later generation wants it: new SYNs are dropped, the queue is
	                      emptied */
};

/* What two sockets must have in common to be the same listener. */
struct listener_identity {
	int family;
	int protocol;
	int v6only;
	uint64_t network; /* SO_NETNS_COOKIE; 0 on kernels before 5.14 */
	char device[16];  /* SO_BINDTODEVICE */
	struct sockaddr_storage address;
};

struct listener {
	enum listener_state state;
	int fd;
	int fresh; /* the socket the next generation would have bound; -1: none. Its options are
	              wanted */
	bool ephemeral; /* bound to port 0: matched by order */
	bool adopted;   /* has been handed to a second generation */
	uint32_t born;  /* the generation that announced it */
	uint64_t inode;
	struct listener_identity identity;
	int backlog; /* as requested by the generations that use it: the largest */
};

struct fdstore {
	struct listener *listeners;
	uint32_t count;
	uint32_t allocated;
	uint64_t ephemeral[64]; /* inodes of sockets bound to port 0 that do not listen yet, a ring
	                         */
	unsigned ephemerals;
};

void fdstore_deinit(struct fdstore *store);

/* Is this a TCP socket at all? Fills everything but the address, which `bound` says to ask for. */
int identity_of(int fd, bool bound, struct listener_identity *ret_identity);

/*
 * The first listener after `after` (-1: from the start) that bind(fd, address) means, or -1.
 * The fresh socket's options and `address` are compared by meaning; port 0 means "the next listener
 * that was bound to port 0 on that address".
 */
int fdstore_find(const struct fdstore *store, int fd, const struct sockaddr_storage *address,
        socklen_t length, int after);

/* The listener that has this inode, or -1. */
int fdstore_find_inode(const struct fdstore *store, uint64_t inode);

/* Remembers that the socket asked for port 0, until it listens. */
void fdstore_note_ephemeral(struct fdstore *store, int fd);

/* Takes the listening socket over (also on failure). Its number, or -errno. */
int fdstore_add_consume(struct fdstore *store, int fd);

/* Keeps `fresh` (consumed) as the source of the options that the next generation wants. */
void listener_set_fresh_consume(struct listener *listener, int fresh);

/*
 * Copies to the shared socket what the daemon had set on its fresh one and differs: everything it
 * set, nothing that is only a default.  Forgets the fresh one.
 */
void listener_apply_fresh(struct listener *listener);

/* The real O_NONBLOCK of the shared file description. */
void listener_set_nonblock(const struct listener *listener, bool nonblock);
bool listener_is_nonblock(const struct listener *listener);

/* listen() again: changes the backlog only. */
void listener_set_backlog(struct listener *listener, int backlog);

/* Connections in the accept queue, and its limit (TCP_INFO). -errno. */
int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog);

/* Drops new SYNs; handshakes under way still finish (classic BPF on the listening socket). */
void listener_refuse(const struct listener *listener, bool refuse);

/* No connection waits in the queue and no handshake is under way. */
bool listener_is_empty(const struct listener *listener);

/* Ends the queue for all holders: blocked accepts fail with EINVAL, new connections are refused. */
void listener_close(struct listener *listener);

struct audit_port listener_port(const struct listener *listener);

/* "tcp:127.0.0.1:80", "tcp:[::1]:80". */
void listener_print(const struct listener *listener, char *text, size_t size);
