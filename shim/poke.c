/* SPDX-License-Identifier: MIT */
/* Recognises the launcher's own connections and datagrams. */
#include "shim/poke.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "shim/member.h"
#include "shim/raw.h"
#include "shim/socket.h"

/* An address in the form of struct moult_poke. */
struct origin {
	uint32_t port;
	uint32_t address[4];
};

/* A name that is a NUL, MOULT_POKE_NAME and 32 digits, and nothing else. */
static bool origin_of_name(const struct sockaddr_un *from, socklen_t length, struct origin *ret)
{
	static const char start[] = MOULT_POKE_NAME;
	enum { START = sizeof(start) - 1, DIGITS = 32 };
	if (length != offsetof(struct sockaddr_un, sun_path) + 1 + START + DIGITS ||
	        from->sun_path[0])
		return false;
	for (int i = 0; i < START; i++)
		if (from->sun_path[1 + i] != start[i])
			return false;
	ret->port = MOULT_POKE_UNIX;
	for (int i = 0; i < DIGITS; i++) {
		char c = from->sun_path[1 + START + i];
		uint32_t digit = (uint32_t)(c >= 'a' ? c - 'a' + 10 : c - '0');
		ret->address[i / 8] = ret->address[i / 8] << 4 | digit;
	}
	return true;
}

static bool origin_of(const struct sockaddr_storage *from, socklen_t length, struct origin *ret)
{
	*ret = (struct origin){0};
	if (from->ss_family == AF_UNIX)
		return origin_of_name((const void *)from, length, ret);
	ret->port = socket_port((const void *)from);
	if (from->ss_family == AF_INET) {
		ret->address[2] = htonl(0xffff);
		ret->address[3] = ((const struct sockaddr_in *)from)->sin_addr.s_addr;
		return true;
	}
	for (int i = 0; i < 4; i++)
		ret->address[i] = ((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr32[i];
	return from->ss_family == AF_INET6;
}

bool poke_is_from(const struct sockaddr_storage *address, socklen_t length)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->pokes);
	struct origin origin;
	if (!count || length < sizeof(sa_family_t) || !origin_of(address, length, &origin))
		return false;
	for (uint32_t i = 0; i < count && i < MOULT_POKES; i++) {
		const struct moult_poke *poke = &board->poke[i];
		bool same = atomic_load(&poke->port) == origin.port;
		for (int j = 0; j < 4 && same; j++)
			same = atomic_load(&poke->address[j]) == origin.address[j];
		if (same && origin.port)
			return true;
	}
	return false;
}

bool poke_is_peer(int fd)
{
	struct sockaddr_storage peer = {0};
	socklen_t length = sizeof(peer);
	return atomic_load(&member_board->pokes) && raw(SYS_getpeername, fd, &peer, &length) >= 0 &&
	       poke_is_from(&peer, length);
}
