/* SPDX-License-Identifier: MIT */
/* The launcher's answer to a request, and the socket that came with the request. */
#pragma once

#include "shim/contract.h"

struct answer {
	struct moult_reply reply;
	int fds[MOULT_DESCRIPTORS]; /* sent along; they stay the launcher's; -1: none */
};

/* The socket that a request brought.  A function that keeps the socket sets this to -1. */
struct received {
	int socket;
};

/* An answer without a backlog and with one descriptor at most (-1: none). */
static inline struct answer answer_with(int error, int listener, int fd)
{
	return (struct answer){{.error = error, .listener = listener}, {fd, -1}};
}
