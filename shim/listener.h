/* SPDX-License-Identifier: MIT */
/*
 * The life of a listening socket in this process: it is adopted in bind() or announced in listen()
 * (shim/adopt.h), accepts connections, and is closed.  A datagram socket that is a service is
 * called a listener, too.
 *
 * Functions that stand for a libc function return and set errno as that function does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * The number of the listener that `fd` is, or -1.  A descriptor that the table does not know is
 * looked at: a listener is recognised by its inode.  The result is remembered in the table, also if
 * the descriptor is none.
 *
 * listener_of() looks again at what is remembered as none.  listener_if_new() does not, as long as
 * the launcher has changed no gate and has added no listener.  It is for epoll_ctl() and F_GETFL,
 * which do not change the socket.  A number may be closed, and a listener may arrive under the same
 * number, both in ways that the library does not see.  Nothing is lost then: the first accept()
 * looks, and finds what epoll_ctl() has registered.
 */
int listener_of(int fd);
int listener_if_new(int fd);

/* For accept(): looks at every descriptor that is not known to be a listener. */
int listener_to_accept(int fd);

/* For the rare calls that change or show the socket: right in a vfork child, too. */
int listener_here(int fd);

/* Looks at what the kernel says of the descriptor, and remembers nothing. */
int listener_look(int fd);

/*
 * Is this a vfork child in which `fd` is not the listener that the table says?  Costs a getpid().
 */
bool listener_is_mistaken(int listener, int fd);

/* Has this process, or one that it was forked from, ever had a listener of ours? */
bool listener_known(void);

/* Notes that `fd` is that listener from now on. */
void listener_learn(int fd, int listener);

/* Notes that this process has bound the listener, or called listen(). */
void listener_own(int listener);

/* A descriptor has arrived in a message: forgets what its number was before. */
void listener_received(int fd);

/*
 * shutdown() of a listener.  The kernel's would reset the queue of all generations, so the launcher
 * is told instead.
 */
int listener_shutdown(int listener, int fd, int how);

/*
 * A keeper has opened the gate (MOULT_GATE_ORPHANED), so the launcher has not done its part of the
 * switch.  This gives the socket the O_NONBLOCK of this generation, and makes it listen if that was
 * put off until the switch.  The caller holds a reservation of the gate.
 */
void listener_take_over(int listener, int fd);

/* fcntl(F_GETFL), fcntl(F_SETFL) and ioctl(FIONBIO) with the O_NONBLOCK of this generation. */
int listener_get_flags(int listener, int fd);
int listener_set_flags(int listener, int fd, long flags);
int listener_set_nonblock(int listener, int fd, unsigned long request, int *argument);

/*
 * True if the daemon has been told of a connection that is not for it; once for each wait.  So a
 * program that polls and then accepts goes back to its poll, and threads that only accept do block.
 */
bool listener_was_announced(int listener);
bool listener_is_watched(int listener);

/* SO_RCVTIMEO in microseconds; -1: none. */
int64_t listener_receive_timeout(int fd);

/*
 * The process polls this listener, so a connection may be taken away between "ready" and accept().
 */
void listener_watched(int listener);
/* One more poll, select or epoll_wait of this process has begun. */
void listener_wait_begun(void);

/* `fd`, whose kind is not FD_UNKNOWN, is about to be closed or replaced. */
void listener_closing(int fd);

/* `to` has just become a duplicate of `from`, whatever the two are. */
void listener_duplicated(int from, int to);

/* Recognises the listeners among the descriptors that this process has inherited over exec. */
void listener_inherit(void);

/* Would an exec now, with the close-on-exec flags as they are, pass a listener on? */
bool listener_survives_exec(void);
