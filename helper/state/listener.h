/* SPDX-License-Identifier: MIT */
/*
 * One listener: a listening socket or a bound datagram socket, of which the launcher has a
 * duplicate.
 *
 * Its options, its queue, its path and its end.  The fd store (helper/state/fdstore.h) keeps all
 * listeners of the instance.
 */
#pragma once

#include <limits.h>
#include <sys/types.h>

#include "helper/kernel/audit.h"
#include "helper/process/paths.h"
#include "helper/state/identity.h"

enum listener_state {
	LISTENER_GONE, /* closed; the number stays taken */
	LISTENER_LIVE,
	LISTENER_RETIRING, /* no generation wants it: refuses new clients, empties its queue */
};

/* listener_deinit() closes all descriptors in it. */
struct listener {
	enum listener_state state;
	int fd;
	/*
	 * The socket that the next generation would have bound; -1: none.  The next generation sets
	 * its options there.  The switch copies them (helper/state/socket_options.h).
	 */
	int template;
	int former;  /* keeps the former generation's options while a roll-back is possible; -1 */
	bool shared; /* SO_REUSEPORT as the accepting generation wants it */
	bool ephemeral; /* bound to port 0: bind() finds it by order */
	bool adopted;   /* has been handed to a second generation */
	bool raised;    /* its queue is as long as the system allows */
	bool deferred;  /* listens from the switch on: before, it would take another's clients */
	uint32_t born;  /* the generation that announced it */
	uint32_t last_holder; /* the newest generation that has ever taken it up */
	uid_t taken_by;       /* the user of the process that took it up last */
	bool late;            /* bound when its generation served already, perhaps for one client */
	/* helper/lifecycle/kept.h */
	uint32_t kept;  /* its number in the service manager's store; 0: it is not there */
	uid_t kept_uid; /* as its name in that store says */
	gid_t kept_gid;
	bool activated;       /* it is the service manager's own; nobody here closes or shuts it */
	bool starts_nonblock; /* activated: O_NONBLOCK as each generation finds it at its start */
	uint64_t inode;
	struct identity identity;
	int backlog;          /* the largest that a generation using it has asked for */
#define LISTENER_MOST INT_MAX /* for listen(): the kernel cuts it to net.core.somaxconn */

	/* UNIX sockets with a path. */
	int directory;       /* O_PATH; -1: none */
	struct asker asker;  /* bound or moved it; the launcher acts there with its rights */
	struct file_id file; /* the file that the path named when it was bound */
	int pinned;          /* that file, opened with O_PATH for pokes: paths_look(); -1 */
	/*
	 * Generations: the last whose gate was open, and the last that believes it has removed the
	 * path.  If they are the same the path is removed with the socket.
	 */
	uint32_t owner, unlinked;
	mode_t mode; /* of the file, by listener_remember_mode() */
	uid_t uid;
	gid_t gid;
};

/* Closes all descriptors. */
void listener_deinit(struct listener *listener);

/* The inode of a socket; 0: not a descriptor. */
uint64_t socket_inode(int fd);

/* ---- options ---- */

/* Keeps `template` (consumed) as the socket with the options that the next generation wants. */
void listener_set_template_consume(struct listener *listener, int template);

/*
 * At the switch: copies the template's options, if there is one, closes it and sets O_NONBLOCK.
 */
void listener_prepare(struct listener *listener, bool nonblock);

/*
 * For a roll-back.  _remember_, before the switch: keeps a copy of the present options, if the
 * switch is about to change them.  _restore_: makes that copy the template, so that the switch back
 * sets those options again.  _forget_: there will be no roll-back.
 */
void listener_remember_options(struct listener *listener);
void listener_restore_options(struct listener *listener);
void listener_forget_options(struct listener *listener);

/* ---- the queue ---- */

/* Begins to listen if this has been deferred.  0 or -errno. */
int listener_begin(struct listener *listener);

/*
 * How many connections wait, and the backlog's limit.  For a datagram socket: 1 if a datagram
 * waits, else 0; and no limit, 0.  0 or -errno.
 */
int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog);

/*
 * The length of the queue.  _raise: as long as the system allows, while nobody accepts.  _lower: as
 * long as the daemon wants, afterwards.  The queue of a UNIX socket stays long: see listener.c.
 */
void listener_raise(struct listener *listener);
void listener_lower(struct listener *listener);

/*
 * _refuse: new clients are refused or dropped; queued connections can still be accepted.  _admit:
 * new clients get in again.  A UNIX listener that has refused once cannot admit again.  An activated
 * listener goes on letting them in, for the service manager starts the service again for them.
 */
void listener_refuse(struct listener *listener);
void listener_admit(struct listener *listener);

/*
 * True if nothing waits in the queue and no handshake is under way (`handshakes`:
 * audit_handshakes()), or if the socket does not listen.
 */
bool listener_is_empty(const struct listener *listener, const struct port_set *handshakes);

/* ---- the path of a UNIX socket ---- */

/* Is `file` the file that the socket was bound to? */
bool listener_has_file(const struct listener *listener, struct file_id file);

/*
 * `asker` has renamed the listener's path to `name` in `directory`, where `look` saw it.  0, and
 * `directory` is consumed; or -EINVAL: see place_set().
 */
int listener_set_place(struct listener *listener, const struct asker *asker, int directory,
        const char *name, const struct look *look);

/* Has the listener's path that last component?  The answer costs nothing: ask before paths_look(). */
bool listener_has_name(const struct listener *listener, const char *name);

/* Is the listener's place `name` in the directory of `look`, and has `look` found its file? */
bool listener_is_at(const struct listener *listener, const char *name, const struct look *look);

/*
 * Mode and owner of the path.  A version that is starting changes them on the live socket's file.
 * _remember_ before; _restore_ puts them back if that version fails, with the rights of the process
 * that bound the path there, and never a set-id bit.
 */
void listener_remember_mode(struct listener *listener);
void listener_restore_mode(const struct listener *listener);

/* Removes the path if it still names this socket. */
void listener_unlink(const struct listener *listener);

/* ---- the end ---- */

/*
 * Ends the queue for all holders: blocked accepts fail with EINVAL, new connections are refused.
 * Of a datagram socket only the store's duplicate is closed.  An activated listener stays as it is.
 */
void listener_close(struct listener *listener);

/* Closes only the store's duplicate: the socket lives on in the daemon. */
void listener_forget(struct listener *listener);

/* ---- for others ---- */

/* The family and port, as helper/kernel/audit.h wants them. */
struct audit_port listener_port(const struct listener *listener);

/* Prints the identity as identity_print() does; LISTENER_TEXT bytes are enough. */
enum { LISTENER_TEXT = 256 };
void listener_print(const struct listener *listener, char *text, size_t size);
