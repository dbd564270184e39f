/* SPDX-License-Identifier: MIT */
/*
 * The control socket of an instance: RUNTIME/NAME.sock, SOCK_SEQPACKET.  It answers its owner and
 * root.
 *
 * A request is one datagram of NUL-terminated strings: CONTROL_PROTOCOL, the verb ("upgrade",
 * "status", "stop", "list", "ping"), then the words of the command line without the verb and the
 * instance's name.  "status" has at most the word "--json".  The answer to "list" is one
 * CONTROL_TEXT line: name, pid, state, generation and command in the columns of client_list().
 *
 * An answer is a datagram: one byte of enum control_answer, then text without a NUL.  The last
 * answer is CONTROL_EXIT with the exit status in decimal.  If the connection ends without it, the
 * launcher has died.
 */
#pragma once

#include <stddef.h>

#define CONTROL_PROTOCOL "1"

enum control_answer {
	CONTROL_LINE = 'e',     /* a line for stderr */
	CONTROL_TEXT = 'o',     /* text for stdout, printed unchanged */
	CONTROL_PROGRESS = 'p', /* a line that replaces the previous one, on a terminal only */
	CONTROL_EXIT = 'x',     /* the exit status; nothing follows */
};

/* The longest request and answer, in bytes. The client refuses a longer request: a usage error. */
enum { CONTROL_REQUEST_MAX = 128 * 1024, CONTROL_ANSWER_MAX = 128 * 1024 };

/*
 * The runtime directory: $MOULT_RUNTIME_DIR, else /run/moult for root, else
 * $XDG_RUNTIME_DIR/moult; in a unit of systemd $RUNTIME_DIRECTORY/moult where these cannot be had.
 * Without `create` root may also have that of another user.  `create`: makes the directory, mode 0700; without `create` a directory
 * that does not exist is no error.  0; -EPERM: another user owns the directory or may write to it;
 * -EINVAL: MOULT_RUNTIME_DIR is not an absolute path; -ENOENT with an empty `path`: XDG_RUNTIME_DIR
 * is needed and is not an absolute path; other -errno.
 */
int control_directory(char *path, size_t size, int create);

/* One line: why control_directory() has failed, and what helps. `path`: as it was left there. */
void control_directory_explain(int error, const char *path, char *text, size_t size);
