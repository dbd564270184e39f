/* SPDX-License-Identifier: MIT */
/*
 * Requests of a daemon's processes, with descriptors.  The first two bytes choose the descriptors.  The
 * rest is the message.  The message always begins with the contract's number: with another number the
 * decoder would stop there.
 */
#include "tests/fuzz/fuzz.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/base/util.h"
#include "helper/requests/request.h"
#include "helper/state/fdstore.h"

enum { KINDS = 12 };
static int kinds[KINDS];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	(void)argc;
	(void)argv;
	kinds[0] = -1;
	kinds[1] = socket(AF_INET, SOCK_STREAM, 0);
	kinds[2] = socket(AF_INET6, SOCK_STREAM, 0);
	kinds[3] = socket(AF_UNIX, SOCK_STREAM, 0);
	kinds[4] = socket(AF_UNIX, SOCK_DGRAM, 0);
	kinds[5] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	kinds[6] = open("/", O_PATH | O_DIRECTORY);
	kinds[7] = open("/", O_RDONLY | O_DIRECTORY);
	kinds[8] = open("/proc/self/exe", O_PATH);
	kinds[9] = open("/dev/null", O_RDWR);
	kinds[10] = socket(AF_NETLINK, SOCK_RAW, 0);
	kinds[11] = memfd_create("x", 0);
	(void)bind(kinds[1], (struct sockaddr *)&v4, sizeof(v4));
	(void)bind(kinds[4], (struct sockaddr *)&un, sizeof(sa_family_t)); /* autobind */
	return 0;
}

static void check_name(const char *name, bool needed)
{
	size_t length = strnlen(name, MOULT_NAME_ROOM);
	FUZZ_CHECK(length < MOULT_NAME_ROOM);
	FUZZ_CHECK(!strchr(name, '/') && strcmp(name, ".") && strcmp(name, ".."));
	FUZZ_CHECK(!needed || length > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct request request;
	uint32_t contract = MOULT_CONTRACT;
	int fds[3];
	size_t count = 0;
	if (size < 2)
		return 0;
	fds[count] = kinds[data[0] % KINDS];
	count += fds[count] >= 0;
	fds[count] = kinds[data[1] % KINDS];
	count += fds[count] >= 0;
	if (data[0] > 250)
		fds[count++] = kinds[1];
	uint8_t *copy = fuzz_bytes(data + 2, size - 2);
	if (size - 2 >= sizeof(contract) && data[1] < 250)
		memcpy(copy, &contract, sizeof(contract));
	if (request_decode(copy, size - 2, fds, count, &request) == 0) {
		char text[LISTENER_TEXT];
		FUZZ_CHECK(request.listener >= -1 && request.listener < MOULT_LISTENERS);
		FUZZ_CHECK(request.verb >= MOULT_HELLO && request.verb <= MOULT_SLOT);
		check_name(request.name,
		        request.verb == MOULT_UNLINKED || request.verb == MOULT_MOVED);
		check_name(request.other, request.verb == MOULT_REPLACE);
		FUZZ_CHECK(request.identity.length <= sizeof(request.identity.address));
		FUZZ_CHECK(request.socket_fd < 0 || request.socket);
		if (request.is_known)
			identity_print(&request.identity, -1, text, sizeof(text));
	}
	free(copy);
	return 0;
}
