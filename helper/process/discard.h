/* SPDX-License-Identifier: MIT */
/*
 * Closes sockets that a daemon has, or had, without ever waiting.
 *
 * The last close() of a socket may wait for ever if the socket is a connection with SO_LINGER and
 * unsent data.  A daemon can turn its listener into such a connection.  It can also send one over a
 * UNIX socket, in whose queue the connection stays and is closed together with the UNIX socket.
 */
#pragma once

/*
 * Sets *fd to -1 (-1: does nothing) and closes the descriptor soon after, by a timer of the loop.
 * The launcher's exit closes what has not been closed by then.
 */
void fd_discard(int *fd);

/*
 * _hold: call when a child has been forked that closes what it has inherited, by itself or by
 * executing a program.  Until _release nothing is closed here, so that no close in the child is the
 * last one.  Calls may nest.
 */
void discard_hold(void);
void discard_release(void);
