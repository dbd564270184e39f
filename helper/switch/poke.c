/* SPDX-License-Identifier: MIT */
/* Pokes: throw-away connections and datagrams that wake a blocked accept() or read. */
#include "helper/switch/poke.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "helper/base/util.h"
#include "helper/process/discard.h"

struct poke {
	int fd;              /* -1: unused */
	nanoseconds give_up; /* a process without the shim may have taken the poke */
	bool datagram;
	uint32_t port;
	uint32_t address[4];
};
static struct poke pokes[MOULT_POKES];
static uint32_t used; /* pokes in use are among [0, used) */

static void publish(struct generation *generation, uint32_t i)
{
	struct moult_poke *slot = &generation->board->poke[i];
	bool out = i < used && pokes[i].fd >= 0;
	for (int j = 0; j < 4 && out; j++)
		atomic_store(&slot->address[j], pokes[i].address[j]);
	atomic_store(&slot->port, out ? pokes[i].port : 0);
	atomic_store(&generation->board->pokes, used);
}

void poke_publish(struct generation *generation)
{
	for (uint32_t i = 0; i < used; i++)
		publish(generation, i);
}

static void publish_everywhere(struct generation *newest, uint32_t i)
{
	for (struct generation *g = newest; g; g = g->older)
		publish(g, i);
}

static const nanoseconds POKE_PATIENCE = 5 * SECOND;
static const nanoseconds DATAGRAM_PATIENCE = 60 * SECOND;

/*
 * The address at which this host reaches the listener: its own, or loopback if it is bound to the
 * wildcard.
 */
static struct sockaddr_storage target(const struct listener *listener, bool by_ipv4)
{
	struct sockaddr_storage address = listener->identity.address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&address;
	struct sockaddr_in *v4 = (struct sockaddr_in *)&address;
	if (by_ipv4)
		*v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = v6->sin6_port};
	if (address.ss_family == AF_INET) {
		if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
			v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
		v6->sin6_addr = in6addr_loopback;
	return address;
}

static bool is_dual_stack(const struct listener *listener)
{
	const struct sockaddr_in6 *address = (const void *)&listener->identity.address;
	return listener->identity.family == AF_INET6 && !listener->identity.v6only &&
	       IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr);
}

/* Makes a random abstract name for our end of a UNIX connection.  Its length; 0: it failed. */
static socklen_t name_own_end(struct poke *poke, struct sockaddr_un *own)
{
	char name[sizeof(own->sun_path)];
	if (getrandom(poke->address, sizeof(poke->address), 0) != sizeof(poke->address))
		return 0;
	int length = snprintf(name, sizeof(name), MOULT_POKE_NAME "%08x%08x%08x%08x",
	        poke->address[0], poke->address[1], poke->address[2], poke->address[3]);
	*own = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(own->sun_path + 1, name, (size_t)length);
	poke->port = MOULT_POKE_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

/* Notes the source address that the other side will see. */
static bool remember(struct poke *poke, int fd)
{
	struct sockaddr_in6 own;
	socklen_t length = sizeof(own);
	if (getsockname(fd, (struct sockaddr *)&own, &length) < 0)
		return false;
	poke->port = ntohs(own.sin6_port);
	if (own.sin6_family == AF_INET) {
		poke->address[0] = poke->address[1] = 0;
		poke->address[2] = htonl(0xffff);
		poke->address[3] = ((struct sockaddr_in *)&own)->sin_addr.s_addr;
	} else
		for (int i = 0; i < 4; i++)
			poke->address[i] = own.sin6_addr.s6_addr32[i];
	return true;
}

/*
 * Opens our end and binds it to an address, noted in `poke`.  Sets `to`, the listener's address,
 * and its length.  The descriptor, or -1.
 */
static int open_inet(const struct listener *listener, struct poke *poke, bool by_ipv4,
        struct sockaddr_storage *to, socklen_t *ret_length)
{
	struct sockaddr_storage from = *to = target(listener, by_ipv4);
	((struct sockaddr_in *)&from)->sin_port = 0; /* IPv4 and IPv6: same offset */
	int fd = socket(to->ss_family, listener->identity.type | SOCK_CLOEXEC | SOCK_NONBLOCK,
	        listener->identity.protocol);
	*ret_length = sizeof(*to);
	if (fd >= 0 &&
	        (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 || !remember(poke, fd)))
		fd_close(&fd);
	return fd;
}

static int open_unix(const struct listener *listener, struct poke *poke,
        struct sockaddr_storage *to, socklen_t *ret_length)
{
	struct sockaddr_un *un = (struct sockaddr_un *)to, own;
	*to = listener->identity.address;
	*ret_length = listener->identity.length;
	/* Connects to the pinned file: the path may lead to another one by now. */
	if (identity_is_path(&listener->identity)) {
		if (listener->pinned < 0)
			return -1;
		snprintf(un->sun_path, sizeof(un->sun_path), "/proc/self/fd/%d", listener->pinned);
		*ret_length = sizeof(*un);
	}
	int fd = socket(AF_UNIX, listener->identity.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	socklen_t length = name_own_end(poke, &own);
	if (fd >= 0 && (!length || bind(fd, (struct sockaddr *)&own, length) < 0))
		fd_close(&fd);
	return fd;
}

static bool send_one(const struct listener *listener, struct generation *newest, bool by_ipv4)
{
	bool datagram = identity_is_datagram(&listener->identity);
	struct sockaddr_storage to;
	socklen_t length;
	uint32_t i = 0;
	while (i < used && pokes[i].fd >= 0)
		i++;
	if (i == MOULT_POKES)
		return false;
	CLEANUP(fd_close)
	int fd = identity_is_inet(&listener->identity)
	                 ? open_inet(listener, &pokes[i], by_ipv4, &to, &length)
	                 : open_unix(listener, &pokes[i], &to, &length);
	if (fd < 0)
		return false;
	pokes[i].fd = fd;
	pokes[i].datagram = datagram;
	pokes[i].give_up = after(datagram ? DATAGRAM_PATIENCE : POKE_PATIENCE);
	if (i == used)
		used++;
	publish_everywhere(newest, i); /* before connecting: accept may return at once */
	ssize_t result = datagram ? sendto(fd, "", 1, MSG_NOSIGNAL, (struct sockaddr *)&to, length)
	                          : connect(fd, (struct sockaddr *)&to, length);
	if (result < 0 && errno != EINPROGRESS) {
		pokes[i].fd = -1;
		publish_everywhere(newest, i);
		return false;
	}
	int seconds = 0;
	length = sizeof(seconds);
	if (!datagram &&
	        getsockopt(listener->fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, &length) == 0 &&
	        seconds)
		(void)send(fd, "\n", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* only data wakes accept */
	fd = -1;                                                      /* the table has it */
	return true;
}

bool poke_send(const struct listener *listener, struct generation *newest)
{
	/* A host without IPv6 addresses may still have listeners on [::]. */
	return send_one(listener, newest, false) ||
	       (is_dual_stack(listener) && send_one(listener, newest, true));
}

bool poke_reap(struct generation *newest)
{
	bool out = false;
	for (uint32_t i = 0; i < used; i++) {
		if (pokes[i].fd < 0)
			continue;
		/* Never receives what the daemon sends, which may contain descriptors. */
		struct pollfd one = {.fd = pokes[i].fd, .events = POLLRDHUP};
		bool pending = pokes[i].datagram || poll(&one, 1, 0) <= 0;
		if (pending && now() < pokes[i].give_up) {
			out |= !pokes[i].datagram;
			continue;
		}
		fd_discard(&pokes[i].fd);
		publish_everywhere(newest, i);
	}
	return out;
}
