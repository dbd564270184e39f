/* SPDX-License-Identifier: MIT */
/* A stream connection: sends requests, checks the answers, and ends in order. */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "tests/harness/load/answer.h"
#include "tests/harness/load/base.h"
#include "tests/harness/load/stream.h"

/* Sends the rest of the request.  False: the connection has ended. */
static bool stream_send(struct connection *c)
{
	size_t length = c->request->length;
	while (c->sent < length) {
		ssize_t n =
		        send(c->fd, c->request->bytes + c->sent, length - c->sent, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n < 0) {
			connection_fail(c, errno);
			return false;
		}
		c->sent += (size_t)n;
	}
	c->request = NULL;
	return true;
}

static bool stream_ask(struct connection *c, const struct text *request)
{
	c->phase = PHASE_ANSWER;
	c->deadline = now() + options.timeout * MILLISECOND;
	c->request = request;
	c->sent = 0;
	return !request || stream_send(c);
}

/* NULL: the server speaks first. */
static const struct text *first_request(const struct connection *c)
{
	if (options.mode == MODE_BANNER)
		return NULL;
	return c->persistent && options.persistent_send.length ? &options.persistent_send
	                                                       : &options.send;
}

void stream_close(struct connection *c)
{
	c->phase = PHASE_CLOSING;
	c->deadline = now() + options.timeout * MILLISECOND;
	if (options.farewell.bytes) /* an error is ignored: the server may have gone already */
		(void)send(c->fd, options.farewell.bytes, options.farewell.length, MSG_NOSIGNAL);
	(void)shutdown(c->fd, SHUT_WR); /* ENOTCONN: the next read reports that */
}

/* Handles a complete answer.  False: the connection has ended. */
static bool stream_answered(struct connection *c, size_t length)
{
	struct account *account = account_of(c);
	int64_t at = now();
	if (!answer_check(c) || (length < c->received && !options.farewell.bytes)) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	account->answered++;
	c->answers++;
	tag_answered(&account->tags[c->tag], c->started, at);
	c->received = 0;
	if (c->persistent && !c->retiring) {
		c->phase = PHASE_IDLE;
		c->deadline = INT64_MAX;
		c->next_request = at + options.persistent_every * MILLISECOND;
		return true;
	}
	if (!c->persistent)
		latency_record(at - c->started);
	stream_close(c);
	return true;
}

/* Handles new bytes or the end of file.  False: the connection has ended. */
static bool stream_received(struct connection *c, bool ended)
{
	if (c->phase == PHASE_CLOSING) {
		if (!ended) {
			c->received = 0;
			if (options.farewell.bytes) /* the answer to the farewell */
				return true;
			connection_lose(c, LOSS_WRONG, 0);
			return false;
		}
		account_of(c)->closed++;
		connection_end(c);
		return false;
	}
	if (c->phase == PHASE_IDLE && !ended) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	c->answer[c->received] = '\0';
	ssize_t length = c->phase == PHASE_ANSWER ? answer_length(c, ended) : 0;
	if (length < 0 || (!ended && length == 0 && c->received == sizeof(c->answer) - 1)) {
		connection_lose(c, LOSS_WRONG, 0);
		return false;
	}
	if (length > 0 && !stream_answered(c, (size_t)length))
		return false;
	if (ended && length == 0) {
		connection_lose(c, LOSS_CUT, 0);
		return false;
	}
	return !ended || stream_received(c, true);
}

void stream_step(struct connection *c, uint32_t events)
{
	if (c->phase == PHASE_CONNECTING) {
		int error = 0;
		socklen_t length = sizeof(error);
		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
			error = errno;
		if (error) {
			connection_fail(c, error);
			return;
		}
		if (!stream_ask(c, first_request(c)))
			return;
	} else if (c->request && !stream_send(c)) {
		return;
	}
	for (;;) {
		ssize_t n = recv(
		        c->fd, c->answer + c->received, sizeof(c->answer) - 1 - c->received, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			connection_fail(c, errno);
			return;
		}
		c->received += (size_t)n;
		if (!stream_received(c, n == 0))
			return;
	}
}

void stream_ask_again(struct connection *c)
{
	if (options.persistent_send.length)
		(void)stream_ask(c, &options.persistent_send);
}
