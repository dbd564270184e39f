/* SPDX-License-Identifier: MIT */
/*
 * The fd store: a duplicate of every listening socket and of every bound datagram socket ("listener"
 * is said of both), so that its queue outlives every generation.
 *
 * What is kept of a socket is what the kernel says of it, never what a daemon claims.  A listener's
 * number is its index in the store and on every generation's board.  The number of one that has gone
 * is used again for the same address, or when no generation lives that had it.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "helper/base/util.h"
#include "helper/kernel/audit.h"
#include "helper/process/paths.h"
#include "helper/state/identity.h"
#include "shim/contract.h"

enum listener_state {
	LISTENER_GONE, /* closed; the number stays taken */
	LISTENER_LIVE,
	LISTENER_RETIRING, /* no later generation wants it: nobody new comes in, the queue is
	                      emptied */
};

struct listener {
	enum listener_state state;
	int fd;
	/*
	 * The socket the next generation would have bound; -1: none.  It sets its options there, and
	 * they are copied at the switch (helper/state/socket_options.h).
	 */
	int template;
	int former;     /* has the options of the generation before, while that may come back; -1 */
	bool shared;    /* SO_REUSEPORT, as the generation that accepts has it */
	bool ephemeral; /* bound to port 0: matched by order */
	bool adopted;   /* has been handed to a second generation */
	bool raised;    /* its queue is as long as the system allows, whatever `backlog` says */
	bool deferred;  /* does not listen before the switch: it would take what another serves */
	uint32_t born;  /* the generation that announced it */
	uint32_t last_holder; /* the newest generation that has ever taken it up */
	uid_t taken_by;       /* the user of the process that took it up last */
	bool late;            /* when it served already: for a client it had, perhaps */
	uint64_t inode;
	struct identity identity;
	int backlog;          /* as requested by the generations that use it: the largest */
#define LISTENER_MOST INT_MAX /* net.core.somaxconn is less; the kernel knows */

	/* UNIX sockets with a path. */
	int directory;       /* O_PATH; -1: none */
	struct asker asker;  /* who bound it there, or moved it: what is done there, is as that */
	struct file_id file; /* what the path named when it was bound */
	int pinned;          /* that file itself, for pokes: paths_look(); -1 */
	/* Generations: the last whose gate was open, and the last that believes it has removed the
	 * path. When they are the same the path goes with the socket. */
	uint32_t owner, unlinked;
	mode_t mode; /* of the file, as remembered */
	uid_t uid;
	gid_t gid;
};

/* A socket that is bound, or will be in a moment, and not in the store yet. */
struct pending {
	uint64_t inode;
	nanoseconds since; /* the first request for that address */
	struct identity identity;
	bool ephemeral;
	bool overlapping;   /* bound beside another address of the store by SO_REUSEPORT, */
	bool reuseport;     /* which the daemon had set or not */
	int directory;      /* -1: none */
	struct asker asker; /* who binds it */
	int replaces;       /* the listener over whose path it has been renamed, or -1 */
};

struct fdstore {
	struct listener *listeners;
	uint32_t count;
	size_t allocated;
	struct pending *pending; /* the oldest first */
	size_t pending_count, pending_allocated;
};

uint64_t socket_inode(int fd);

void fdstore_deinit(struct fdstore *store);

/*
 * The first listener after `after` (-1: from the start) that bind() to `wanted` means, or -1.
 * Port 0 means "the next listener that was bound to port 0 on that address".  A path means the
 * socket that it names now, which is the `look` (NULL: it is no path).
 */
int fdstore_find(const struct fdstore *store, const struct identity *wanted,
        const struct look *look, int after);

/* A live listener with just this address, or -1. */
int fdstore_find_equal(const struct fdstore *store, const struct identity *identity);

/* The listener that has this inode, or -1. */
int fdstore_find_inode(const struct fdstore *store, uint64_t inode);

/* The live listener whose file that is, or -1. */
int fdstore_find_file(const struct fdstore *store, struct file_id file);

/*
 * Remembers a socket until it is added; `directory` is consumed.  NULL: out of memory.  The oldest
 * of a generation are forgotten when it has too many: they were never to listen.
 */
enum { PENDING_OF_ONE = 512 }; /* of one generation */
struct pending *fdstore_expect(struct fdstore *store, uint64_t socket,
        const struct identity *identity, int directory, const struct asker *asker);
struct pending *fdstore_expected(struct fdstore *store, uint64_t socket);

/* That generation has ended, and with it all that it was about to bind. */
void fdstore_expect_no_more(struct fdstore *store, uint32_t generation);

/* The one that is bound to the file there, by the kernel's word; a path may be used again. NULL */
struct pending *fdstore_pending_at(struct fdstore *store, const struct look *look);

/*
 * `asker` has renamed it to that.  0, and `directory` is consumed; -EINVAL: not the name of a file.
 */
int pending_set_place(struct pending *pending, const struct asker *asker, int directory,
        const char *name, const struct look *look);

/*
 * Takes the socket over (also on failure), with what is known of it as a pending one.  `oldest`: the
 * oldest generation that lives.  Its number, or -errno.
 */
int fdstore_add_consume(struct fdstore *store, int fd, uint32_t oldest);

/* Keeps `template` (consumed) for the options that the next generation wants. */
void listener_set_template_consume(struct listener *listener, int template);

/* At the switch: the options and O_NONBLOCK. */
void listener_prepare(struct listener *listener, bool nonblock);

/*
 * Before the switch: keeps the options of the generation that accepts; should the next one fail they
 * are put back by the switch to it.  Forgotten when that is too late, or has been done.
 */
void listener_remember_options(struct listener *listener);
void listener_restore_options(struct listener *listener);
void listener_forget_options(struct listener *listener);

/* Begins to listen if that has been deferred. 0 or -errno. */
int listener_begin(struct listener *listener);

/* Connections or datagrams that wait, and the limit. -errno. */
int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog);

/*
 * While nobody accepts, as many as the system lets may wait; afterwards as many as the daemon wants.
 * Of UNIX sockets the longer queue stays: see fdstore.c.
 */
void listener_raise(struct listener *listener);
void listener_lower(struct listener *listener);

/* Nobody new gets in; what is queued can still be had. For UNIX listeners there is no way back. */
void listener_refuse(struct listener *listener);
void listener_admit(struct listener *listener);

/* Nothing waits in the queue and no handshake is under way (`handshakes`: audit_handshakes()). */
bool listener_is_empty(const struct listener *listener, const struct port_set *handshakes);

/* Ends the queue for all holders: blocked accepts fail with EINVAL, new connections are refused. */
void listener_close(struct listener *listener);

/* The store's duplicate is closed; the socket itself lives on in the daemon. */
void listener_forget(struct listener *listener);

/* `asker` has renamed its path to that, where the `look` saw it; as pending_set_place(). */
int listener_set_place(struct listener *listener, const struct asker *asker, int directory,
        const char *name, const struct look *look);

/*
 * Mode and owner of the path: a version that is starting sets them on the live one, and they are
 * put back if it fails, as far as who bound it there may do that, and never a set-id bit.
 */
void listener_remember_mode(struct listener *listener);
void listener_restore_mode(const struct listener *listener);

/* Has its path that last component?  Costs nothing: to be asked before paths_look(). */
bool listener_has_name(const struct listener *listener, const char *name);

/* Is that its place (a last component), and does it name this socket? */
bool listener_is_at(const struct listener *listener, const char *name, const struct look *look);

/* Removes the path if it still names this socket. */
void listener_unlink(const struct listener *listener);

struct audit_port listener_port(const struct listener *listener);

/* See identity_print(); LISTENER_TEXT is room enough. */
enum { LISTENER_TEXT = 256 };
void listener_print(const struct listener *listener, char *text, size_t size);
