/* SPDX-License-Identifier: MIT */
/* Puts the launcher into the background (--background). */
#pragma once

/*
 * Forks and returns in the child, in a session of its own.  The parent waits until the child calls
 * background_done() or ends, and exits with that status.  If the fork fails, logs and exits.
 *
 * Until then errors go to stderr even if the log goes to syslog, and a signal that ends the parent
 * ends the child.
 */
void background_begin(void);

/*
 * Lets the parent exit with `status`.  Replaces stdin, and stdout and stderr unless they are
 * regular files, by /dev/null.  Without effect in the foreground, and from the second call on.
 */
void background_done(int status);
