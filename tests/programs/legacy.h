/* SPDX-License-Identifier: MIT */
/*
 * What the test daemons have in common: their options, their start-up habits, their ways to fail,
 * and the answer.  They know nothing of moult; each does what some real daemon does.
 *
 * Protocol: for the line "hello" the answer is "GEN <tag> <pid>", any number of times, until the
 * client closes.  The tag comes from the command line, so each generation has its own.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

enum { LEGACY_LISTENERS = 2048, LEGACY_LINE = 256 };

/* Who binds the SO_REUSEPORT sockets: nobody, each worker its own, or the master all of them. */
enum legacy_reuseport { REUSEPORT_NO, REUSEPORT_WORKER, REUSEPORT_MASTER };

struct legacy {
	const char *program;
	const char *tag;
	int listeners[LEGACY_LISTENERS];
	int listener_count;
	int backlog;
	bool nonblocking;  /* the listeners */
	bool with_accept4; /* accept4(SOCK_NONBLOCK | SOCK_CLOEXEC) instead of accept */
	int processes;     /* 0: the main process serves itself */
	int threads;       /* where the program has them; 0: its own number */
	bool respawn;      /* the master replaces a process that ends */
	enum legacy_reuseport reuseport;
	int type;            /* of its sockets: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM */
	bool tcp;            /* datagrams: TCP beside them on the same ports */
	const char *receive; /* datagrams: the call that receives them */
	int delay;           /* datagrams: answered that many ms later */
	const char *style;   /* --wait or --model: how it waits for connections */
	bool stdio;          /* serve with fdopen and fclose */
	const char *output;
};
extern struct legacy legacy;

/* Set by --fail=die-soon, 50 ms after its stage: exit(1) as soon as no connection is open. */
extern volatile sig_atomic_t legacy_dying;

/* If set before legacy_start(): called when the sockets are there, but not yet bound. */
extern void (*legacy_unbound)(void);

/*
 * Reads the options, does the habits asked for with --habit in their places, and returns with the
 * listeners open (none, if no --port or --unix was given, or if each worker opens its own), or does
 * not return at all (--fail).
 */
void legacy_start(int argc, char **argv);

/* Closes the listeners and binds the same addresses again, as a reload does. */
void legacy_rebind(void);
extern volatile sig_atomic_t legacy_rebind_wanted; /* by --rebind-signal */

/* It has connections. */
bool legacy_is_stream(int fd);

/* To be called by the process that serves, right before it waits for the first time. */
void legacy_waiting(void);

/*
 * Accepts one connection.  -1 where an accept loop just goes on: EINTR, ECONNABORTED, and EAGAIN
 * where it has asked for that.  Any other error ends the program with status 4, as it would in the
 * daemons of old.
 */
int legacy_accept(int listener);

/* Lines that have come on a connection. */
struct legacy_line {
	bool asked; /* something has come at all */
	size_t length;
	char text[LEGACY_LINE];
};

/*
 * Reads once and answers every complete line.  Returns their number, 0 also where a non-blocking
 * descriptor has nothing to read, or -1: the client has closed, or failed.
 */
int legacy_answer(int fd, struct legacy_line *line);

/*
 * Closes it, and complains of a client that has never said anything: ours always do, so that one
 * was not a client.
 */
void legacy_close(int fd, const struct legacy_line *line);

/* Answers until the client closes, then closes too; blocks meanwhile. */
void legacy_serve(int fd);

/* Answers one line, then closes. */
void legacy_serve_one(int fd);

/*
 * Forks `legacy.processes` children that return, each with its listeners; the master waits for them
 * and ends when the last has ended.  With 0 processes it returns at once.
 */
void legacy_prefork(void);

/* The number of this worker among them. */
extern int legacy_worker;

/* "legacy: what: errno's text" and the end, with that status. */
_Noreturn void legacy_die(int status, const char *what);

#include "tests/programs/legacy_daemon.h"
#include "tests/programs/legacy_serving.h"
