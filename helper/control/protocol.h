/* SPDX-License-Identifier: MIT */
/*
 * The control socket of an instance: RUNTIME/NAME.sock, SOCK_SEQPACKET, answering its owner and
 * root.
 *
 * Request: one datagram of NUL-terminated strings: CONTROL_PROTOCOL, the verb ("upgrade", "status",
 * "stop", "list", "ping"), then the words of the command line after the verb and the instance's
 * name.  The answer to "list" is one CONTROL_TEXT line: name, pid, state, generation and command in
 * the columns of client_list().  "status" has at most the word "--json".
 * Answers: datagrams whose first byte says what the rest (not NUL-terminated) is; the last one is
 * CONTROL_EXIT with the exit status in decimal.  A connection that ends without it: the launcher
 * died.
 */
#pragma once

#include <stddef.h>

#define CONTROL_PROTOCOL "1"

enum control_answer {
	CONTROL_LINE = 'e',     /* a line for stderr */
	CONTROL_TEXT = 'o',     /* text for stdout, as it is */
	CONTROL_PROGRESS = 'p', /* a line that replaces the previous one, on a terminal only */
	CONTROL_EXIT = 'x',     /* the exit status; nothing follows */
};

/* A request is at most this long; more is refused by the client with a usage error. */
enum { CONTROL_REQUEST_MAX = 128 * 1024, CONTROL_ANSWER_MAX = 128 * 1024 };

/*
 * The runtime directory: $MOULT_RUNTIME_DIR, else /run/moult for root, else $XDG_RUNTIME_DIR/moult.
 * `create` makes it, mode 0700.  Refuses (-EPERM) one that another user owns or may write to.
 * 0 or -errno, -ENOENT when XDG_RUNTIME_DIR is needed and not set; without `create` a directory
 * that does not exist is fine.
 */
int control_directory(char *path, size_t size, int create);

/* Why control_directory() has failed, and what helps, in a line. `path`: what it was filled with. */
void control_directory_explain(int error, const char *path, char *text, size_t size);
