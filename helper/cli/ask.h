/* SPDX-License-Identifier: MIT */
/* The operator's end of the control socket (helper/control/protocol.h). */
#pragma once

#include <stddef.h>
#include <sys/un.h>

#include "helper/base/verb.h"
#include "helper/control/protocol.h"

/* How many milliseconds a call waits for the launcher. */
enum {
	PATIENCE_MS = 5000, /* for an answer that the launcher only has to look up */
	NO_LIMIT = -1,
};

/* One datagram. All zero before control_request_init(); `text` belongs to the request. */
struct control_request {
	char *text;
	size_t length;
};

/* `text` ends with a NUL that `length` does not count. */
struct answer {
	char kind; /* enum control_answer, or a kind of a later version */
	size_t length;
	char text[CONTROL_ANSWER_MAX + 1];
};

/* The verb and the words after it. 0; -E2BIG: longer than CONTROL_REQUEST_MAX; -ENOMEM. */
int control_request_init(
        struct control_request *request, enum verb verb, int word_count, char **words);
void control_request_deinit(struct control_request *request);

/* The address of DIRECTORY/NAME.sock. 0 or -ENAMETOOLONG. */
int control_address(struct sockaddr_un *address, const char *directory, const char *name);

/*
 * A connected socket, which the caller closes, or -errno: -ENOENT and -ECONNREFUSED when no
 * launcher is there, -EAGAIN when the launcher did not accept in time.
 */
int control_connect(const struct sockaddr_un *address, int patience_ms);

/*
 * 0, also when the launcher has closed its end: an answer may be there all the same.  Else -errno.
 */
int control_request_send(int fd, const struct control_request *request);

/* 1: an answer; 0: the launcher has closed the connection; -ETIMEDOUT; other -errno. */
int answer_receive(int fd, int patience_ms, struct answer *answer);

/* Makes the text safe for a terminal (helper/base/printable.h). It may become shorter. */
void answer_make_printable(struct answer *answer);
