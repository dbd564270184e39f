/* SPDX-License-Identifier: MIT */
/*
 * What the test daemons have in common: options (legacy_daemon.h), start-up habits, ways to fail,
 * and the answer.  The test daemons know nothing of moult; each does what some real daemon does.
 *
 * Protocol: the client sends the line "hello", and the daemon answers "GEN <tag> <pid>", any number
 * of times, until the client closes.  The tag comes from the command line, so each generation has
 * its own.
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
	bool nonblocking;  /* the listeners have O_NONBLOCK */
	bool with_accept4; /* accept4(SOCK_NONBLOCK | SOCK_CLOEXEC) instead of accept */
	int processes;     /* number of children that serve; 0: the main process serves */
	int threads;       /* if the program has threads; 0: the program's default */
	bool respawn;      /* the master replaces a child that ends */
	enum legacy_reuseport reuseport;
	int type;            /* of the sockets: SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM */
	bool tcp;            /* datagrams: serve TCP on the same ports, too */
	const char *receive; /* datagrams: the call that receives them */
	int delay;           /* --delay-answer in ms; the meaning depends on the program */
	const char *style;   /* --wait or --model: how it waits for connections */
	bool stdio;          /* serve connections with fdopen() and fclose() */
	const char *output;
};
extern struct legacy legacy;

/* By --fail=die-soon, 50 ms after the stage: exit(1) as soon as no connection is open. */
extern volatile sig_atomic_t legacy_dying;

/* If set before legacy_start(): is called when the sockets exist, but are not yet bound. */
extern void (*legacy_unbound)(void);

/*
 * Reads the options, acts out each --habit at its stage, and returns with the listeners open.
 * There are no listeners without --port and --unix, and if each worker opens its own.  With --fail
 * the function may not return.
 */
void legacy_start(int argc, char **argv);

/* Closes the listeners and binds the same addresses again, as a reload does. */
void legacy_rebind(void);
extern volatile sig_atomic_t legacy_rebind_wanted; /* set by --rebind-signal */

/* Does the socket have connections, unlike a datagram socket? */
bool legacy_is_stream(int fd);

/* Each process that serves calls this right before its first wait. */
void legacy_waiting(void);

/*
 * Accepts one connection.  Returns -1 for errors after which an accept loop goes on: EINTR,
 * ECONNABORTED, and EAGAIN if the listener is non-blocking or has a time-out.  Any other error ends
 * the program with status 4, as in old daemons.
 */
int legacy_accept(int listener);

/* The input of a connection, up to the next complete line. */
struct legacy_line {
	bool asked; /* the client has sent something */
	size_t length;
	char text[LEGACY_LINE];
};

/*
 * Reads once and answers every complete line.  Returns the number of answers, which is 0 if a
 * non-blocking descriptor has nothing to read, or -1 if the client has closed or an error occurred.
 */
int legacy_answer(int fd, struct legacy_line *line);

/*
 * Closes the connection.  Complains about a peer that has never sent anything: the tests' clients
 * always send something, so this peer was no client.
 */
void legacy_close(int fd, const struct legacy_line *line);

/* Answers until the client closes, then closes, too.  Blocks. */
void legacy_serve(int fd);

/* Answers one line, then closes. */
void legacy_serve_one(int fd);

/*
 * Forks `legacy.processes` children.  Each child returns, with its listeners.  The master does not
 * return: it waits for the children and exits after the last one.  With 0 processes the function
 * returns at once.
 */
void legacy_prefork(void);

/* The number of this child among them, from 0. */
extern int legacy_worker;

/* Prints "PROGRAM TAG: what: errno's text" to stderr and exits with `status`. */
_Noreturn void legacy_die(int status, const char *what);

#include "tests/programs/legacy_daemon.h"
#include "tests/programs/legacy_serving.h"
