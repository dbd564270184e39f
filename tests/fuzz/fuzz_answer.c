/* SPDX-License-Identifier: MIT */
/*
 * The launcher's answers, as the operator's command reads them.  The input is a row of messages; two
 * bytes in front of each message are its length.  The first byte of the input chooses the request and
 * the kind of screen.
 */
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>

static FILE *sink; /* in place of stderr, to which the fuzzer itself writes */
#undef stderr
#define stderr sink
#include "helper/base/fail.c"
#include "helper/cli/client.c"
#include "helper/cli/screen.c"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_silence();
	sink = fopen("/dev/null", "w");
	if (!sink)
		abort();
	return 0;
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
	while (size >= 2) {
		size_t length = data[0] | (size_t)data[1] << 8;

		data += 2;
		size -= 2;
		if (length > size)
			length = size;
		if (send(fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break;
		data += length;
		size -= length;
	}
	(void)shutdown(fd, SHUT_WR);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct answer answer;
	struct control_request request = {.text = (char[]){"x"}, .length = 2};
	struct screen screen = {0};
	int ends[2];

	if (size < 1)
		return 0;
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
	send_all(ends[1], data + 1, size - 1);
	screen.terminal = data[0] & 1;
	screen.clear_first = data[0] & 2;
	screen.quiet = data[0] & 4;
	if (data[0] & 8) {
		if (list_ask(ends[0], &request, &answer))
			answer_make_printable(&answer);
	} else {
		int status = relay(ends[0], data[0] & 16 ? VERB_STOP : VERB_STATUS, "x", &screen);

		FUZZ_CHECK(status >= 0 && status <= 255);
	}
	FUZZ_CHECK(screen.held_length <= sizeof screen.held);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return 0;
}
