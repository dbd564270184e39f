/* SPDX-License-Identifier: MIT */
/*
 * The life of a listening socket in this process: adopted in bind() or announced in listen()
 * (shim/adopt.h), asked for connections, and closed.  "Listener" is said of a datagram socket that
 * is a service as well.
 *
 * Every function that stands for a libc function returns and sets errno as that does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * The listener that `fd` is, or -1.  A descriptor that the table knows nothing of is looked at: it
 * is recognised by its inode, and remembered, also if it is none.
 *
 * What is remembered as none is looked at again, with two exceptions: epoll_ctl() and F_GETFL, which
 * change nothing of the socket, believe it (listener_if_new) while the launcher has changed no gate
 * and no list.  Should a number be closed and a listener arrive under it, both in ways that we do
 * not see, nothing is lost: the first accept() looks, and finds what epoll_ctl() has registered.
 */
int listener_of(int fd);
int listener_if_new(int fd);

/* For accept(): looks at whatever is not known to be a listener. */
int listener_to_accept(int fd);

/* For the rare calls that change or show the socket: right in a vfork child, too. */
int listener_here(int fd);

/* By what the kernel says of the descriptor alone; nothing is remembered. */
int listener_look(int fd);

/* In a vfork child: is `fd` there not what the table says?  Costs a getpid. */
bool listener_is_mistaken(int listener, int fd);

/* Has this process, or one it was forked from, ever had a listener of ours? */
bool listener_known(void);

/* From now on `fd` is that listener. */
void listener_learn(int fd, int listener);

/* This process has bound it, or called listen(). */
void listener_own(int listener);

/* A descriptor that has arrived in a message: whatever its number was before is forgotten. */
void listener_received(int fd);

/* shutdown() on a listener would reset the queue of all generations: kept from the kernel. */
int listener_shutdown(int listener, int fd, int how);

/*
 * A keeper has opened the gate (MOULT_GATE_ORPHANED), and the launcher has done nothing of what a
 * switch does: the socket gets the O_NONBLOCK of this generation, and listens if that has been put
 * off until the switch.  To be called while the gate is held.
 */
void listener_take_over(int listener, int fd);

/*
 * accept4() in its generation's turn; `flags` < 0 for accept().  Out of turn: EAGAIN where the
 * daemon set O_NONBLOCK; ECONNABORTED where a poll, select or epoll had announced a connection that
 * now is another generation's (a single-threaded daemon must not hang in a blocking accept then);
 * else it blocks as for an empty queue.
 */
int listener_accept(int listener, int fd, struct sockaddr *address, socklen_t *length, int flags);

/* fcntl(F_GETFL), fcntl(F_SETFL), ioctl(FIONBIO): this generation's own O_NONBLOCK. */
int listener_get_flags(int listener, int fd);
int listener_set_flags(int listener, int fd, long flags);
int listener_set_nonblock(int listener, int fd, unsigned long request, int *argument);

/*
 * The daemon was told of a connection that is not for it.  True once per wait: a program that polls
 * and then accepts is sent back to its poll; threads that sit in accept alone do block.
 */
bool listener_was_announced(int listener);
bool listener_is_watched(int listener);

/* SO_RCVTIMEO in microseconds, -1 for none. */
int64_t listener_receive_timeout(int fd);

/* The process polls this listener: a connection may be taken away between "ready" and accept. */
void listener_watched(int listener);
/* One more poll, select or epoll_wait of this process has begun. */
void listener_wait_begun(void);

/* `fd` (any kind but unknown) is about to be closed or replaced. */
void listener_closing(int fd);

/* `to` has just become a duplicate of `from`, whatever those are. */
void listener_duplicated(int from, int to);

/* Recognises the listeners among the descriptors this process has inherited over exec. */
void listener_inherit(void);

/* Would an exec now, with the close-on-exec flags as they are, pass a listener on? */
bool listener_survives_exec(void);
