/* SPDX-License-Identifier: MIT */
/* A datagram client: asks one question. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/harness/load/answer.h"
#include "tests/harness/load/base.h"
#include "tests/harness/load/datagram.h"

enum { DUPLICATE_MS = 300 }; /* how long the client waits for a second answer */

/* Sends "hello NUMBER OWN-ADDRESS": some receiving calls do not return the client's address. */
int datagram_ask(struct connection *c)
{
	char own[ADDRESS_TEXT], text[ADDRESS_TEXT + 64];
	if (!address_own(c->fd, own))
		return -errno;
	int length =
	        snprintf(text, sizeof(text), "hello %llu %s\n", (unsigned long long)c->number, own);
	bool is_unix = c->address->name.ss_family == AF_UNIX;
	ssize_t n =
	        is_unix ? sendto(c->fd, text, (size_t)length, MSG_NOSIGNAL,
	                          (const struct sockaddr *)&c->address->name, c->address->length)
	                : send(c->fd, text, (size_t)length, MSG_NOSIGNAL);
	c->phase = n < 0 ? PHASE_QUEUEING : PHASE_ANSWER;
	return n < 0 ? -errno : 0;
}

/* Is it "GEN <tag> <pid> NUMBER", with our number? */
static bool datagram_check(struct connection *c)
{
	unsigned long long number;
	int pid, end = -1;
	c->answer[c->received] = '\0';
	if (sscanf(c->answer, "GEN %*s %d %llu%n", &pid, &number, &end) != 2 ||
	        number != c->number || strcmp(c->answer + end, "\n") != 0)
		return false;
	return c->phase == PHASE_CLOSING || answer_check(c);
}

void datagram_step(struct connection *c)
{
	for (;;) {
		ssize_t n = recv(c->fd, c->answer, sizeof(c->answer) - 1, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			connection_fail(c, errno);
			return;
		}
		c->received = (size_t)n;
		if (!datagram_check(c)) {
			connection_lose(c, LOSS_WRONG, 0);
			return;
		}
		if (c->phase == PHASE_CLOSING) {
			connection_lose(c, LOSS_DUPLICATE, 0);
			return;
		}
		int64_t at = now();
		ordinary.answered++;
		tag_answered(&ordinary.tags[c->tag], c->started, at);
		latency_record(at - c->started);
		c->phase = PHASE_CLOSING;
		c->deadline = at + DUPLICATE_MS * MILLISECOND;
	}
}

void datagram_end(struct connection *c)
{
	ordinary.closed++;
	connection_end(c);
}
