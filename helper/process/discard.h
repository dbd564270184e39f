/* SPDX-License-Identifier: MIT */
/*
 * Closing what a daemon has, or had: sockets.
 *
 * close() may wait, for ever: for the data of a connection with SO_LINGER, if it is the last one of
 * that socket, and a daemon can turn its listener into a connection; or for those of connections that
 * wait, sent and not received, in a UNIX socket that is closed with it.
 */
#pragma once

/*
 * Forgets the descriptor (-1 afterwards, and -1 is none) and closes it soon after, when the loop is
 * next idle.  What is not closed by then is closed by the launcher's end.
 */
void fd_discard(int *fd);

/*
 * A child has been forked that will close what it has inherited, or execute a program, which does
 * the same: until it has, nothing is closed here, so that no close of the child is the last one.
 * Calls may nest.
 */
void discard_hold(void);
void discard_release(void);
