/* SPDX-License-Identifier: MIT */
/* The operator's end of the control socket: connect, send a request, receive answers. */
#include "helper/cli/ask.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/printable.h"
#include "helper/base/util.h"

void control_request_deinit(struct control_request *request)
{
	free(request->text);
	request->text = NULL;
}

static void add_word(struct control_request *request, const char *word)
{
	size_t length = strlen(word) + 1;

	if (request->text)
		memcpy(request->text + request->length, word, length);
	request->length += length;
}

int control_request_init(
        struct control_request *request, enum verb verb, int word_count, char **words)
{
	/* The first pass measures, the second one writes */
	for (int pass = 0; pass < 2; pass++) {
		request->length = 0;
		add_word(request, CONTROL_PROTOCOL);
		add_word(request, verb_name(verb));
		for (int i = 0; i < word_count; i++)
			add_word(request, words[i]);
		if (request->length > CONTROL_REQUEST_MAX)
			return -E2BIG;
		if (!request->text) {
			request->text = malloc(request->length);
			if (!request->text)
				return -ENOMEM;
		}
	}
	return 0;
}

int control_address(struct sockaddr_un *address, const char *directory, const char *name)
{
	int length;

	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	length = snprintf(
	        address->sun_path, sizeof(address->sun_path), "%s/%s.sock", directory, name);
	return length < 0 || (size_t)length >= sizeof(address->sun_path) ? -ENAMETOOLONG : 0;
}

int control_connect(const struct sockaddr_un *address, int patience_ms)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int room = 2 * CONTROL_REQUEST_MAX;
	int result;

	if (fd < 0)
		return -errno;
	/* A request is one datagram: ask for room for the longest one; the system may allow less */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	if (patience_ms >= 0) {
		struct timeval limit = {.tv_sec = patience_ms / 1000};

		/* connect() waits too, while the listener's queue is full */
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	}
	do
		result = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	while (result < 0 && errno == EINTR);
	if (result < 0) {
		result = -errno;
		close(fd);
		return result;
	}
	return fd;
}

int control_request_send(int fd, const struct control_request *request)
{
	ssize_t n;

	do
		n = send(fd, request->text, request->length, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	/* A launcher that refuses us closes its end, and its answer may say why */
	return n < 0 && errno != EPIPE && errno != ECONNRESET ? -errno : 0;
}

int answer_receive(int fd, int patience_ms, struct answer *answer)
{
	struct pollfd in = {.fd = fd, .events = POLLIN};
	struct iovec parts[] = {{&answer->kind, 1}, {answer->text, sizeof(answer->text) - 1}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = COUNT(parts)};
	ssize_t n;
	int result;

	do
		result = poll(&in, 1, patience_ms);
	while (result < 0 && errno == EINTR);
	if (result < 0)
		return -errno;
	if (result == 0)
		return -ETIMEDOUT;
	do
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (n == 0)
		return 0;
	answer->length = (size_t)n - 1;
	answer->text[answer->length] = '\0';
	return 1;
}

void answer_make_printable(struct answer *answer)
{
	printable_make(answer->text);
	answer->length = strlen(answer->text);
}
