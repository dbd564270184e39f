/* SPDX-License-Identifier: MIT */
/* When are two sockets the same listener? */
#include "helper/state/identity.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/printable.h"
#include "helper/base/socket_option.h"
#include "helper/base/util.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int identity_of(int fd, struct identity *ret_identity)
{
	struct identity id = {0};
	id.family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
	id.type = socket_option(fd, SOL_SOCKET, SO_TYPE);
	id.protocol = socket_option(fd, SOL_SOCKET, SO_PROTOCOL);
	bool known = id.family == AF_UNIX
	                     ? id.type == SOCK_STREAM || id.type == SOCK_SEQPACKET ||
	                               id.type == SOCK_DGRAM
	                     : (id.family == AF_INET || id.family == AF_INET6) &&
	                               (id.type == SOCK_STREAM || id.type == SOCK_DGRAM);
	if (!known)
		return -EAFNOSUPPORT;
	id.v6only = id.family == AF_INET6 ? socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) : 0;
	socklen_t length = sizeof(id.network);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &id.network, &length) < 0)
		id.network = 0;
	length = sizeof(id.device);
	if (id.family == AF_UNIX ||
	        getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, id.device, &length) < 0)
		id.device[0] = '\0';
	*ret_identity = id;
	return 0;
}

int identity_of_bound(int fd, struct identity *ret_identity)
{
	struct identity id;
	int result = identity_of(fd, &id);
	if (result < 0)
		return result;
	id.length = sizeof(id.address);
	if (getsockname(fd, (struct sockaddr *)&id.address, &id.length) < 0)
		return -errno;
	if (id.length > sizeof(id.address))
		return -EINVAL;
	/* For a path that fills sun_path the kernel counts a NUL behind it. */
	if (id.family == AF_UNIX && id.length > sizeof(struct sockaddr_un))
		id.length = sizeof(struct sockaddr_un);
	*ret_identity = id;
	return 0;
}

int identity_set_address(
        struct identity *identity, const struct sockaddr_storage *address, socklen_t length)
{
	socklen_t least = identity->family == AF_INET6  ? 24 /* SIN6_LEN_RFC2133 */
	                  : identity->family == AF_INET ? sizeof(struct sockaddr_in)
	                                                : sizeof(sa_family_t) + 1;
	socklen_t most =
	        identity->family == AF_UNIX ? sizeof(struct sockaddr_un) : sizeof(*address);
	if (address->ss_family != identity->family || length < least || length > most)
		return -EINVAL;
	memset(&identity->address, 0, sizeof(identity->address));
	memcpy(&identity->address, address, length);
	identity->length = length;
	return 0;
}

bool identity_is_inet(const struct identity *identity)
{
	return identity->family != AF_UNIX;
}

static const struct sockaddr_un *unix_address(const struct identity *identity)
{
	return (const void *)&identity->address;
}

static bool is_named(const struct identity *identity)
{
	return identity->family == AF_UNIX && identity->length > sizeof(sa_family_t);
}

bool identity_is_path(const struct identity *identity)
{
	return is_named(identity) && unix_address(identity)->sun_path[0];
}

bool identity_is_abstract(const struct identity *identity)
{
	return is_named(identity) && !unix_address(identity)->sun_path[0];
}

bool identity_is_datagram(const struct identity *identity)
{
	return identity->type == SOCK_DGRAM;
}

const char *identity_name(const struct identity *identity, size_t *ret_length)
{
	const char *name = unix_address(identity)->sun_path;
	size_t begin = offsetof(struct sockaddr_un, sun_path);
	size_t length = identity->length > begin ? identity->length - begin : 0;
	if (length > sizeof(((struct sockaddr_un *)0)->sun_path))
		length = sizeof(((struct sockaddr_un *)0)->sun_path);
	/* The length of a path may include a NUL, which need not be there. */
	*ret_length = identity_is_path(identity) ? strnlen(name, length) : length;
	return name;
}

const char *identity_text(const struct identity *identity, char *room)
{
	size_t length;
	const char *name = identity_name(identity, &length);
	memcpy(room, name, length);
	room[length] = '\0';
	return room;
}

int identity_set_directory(struct identity *identity, uint64_t device, uint64_t inode)
{
	size_t length;
	const char *name = identity_name(identity, &length);
	if (!identity_is_path(identity) || memchr(name, '/', length))
		return -EINVAL;
	identity->directory_device = device;
	identity->directory_inode = inode;
	identity->network = 0;
	return 0;
}

uint16_t identity_port(const struct identity *identity)
{
	if (!identity_is_inet(identity))
		return 0;
	/* The port is at the same place in both families. */
	return ntohs(((const struct sockaddr_in *)&identity->address)->sin_port);
}

static const struct in6_addr *ipv6_of(const struct identity *identity)
{
	return &((const struct sockaddr_in6 *)&identity->address)->sin6_addr;
}

static in_addr_t ipv4_of(const struct identity *identity)
{
	return ((const struct sockaddr_in *)&identity->address)->sin_addr.s_addr;
}

/* The scope counts for link-local addresses only. */
static bool same_ip(const struct identity *a, const struct identity *b)
{
	if (a->family == AF_INET)
		return ipv4_of(a) == ipv4_of(b);
	const struct sockaddr_in6 *x = (const void *)&a->address, *y = (const void *)&b->address;
	return IN6_ARE_ADDR_EQUAL(&x->sin6_addr, &y->sin6_addr) &&
	       (!IN6_IS_ADDR_LINKLOCAL(&x->sin6_addr) || x->sin6_scope_id == y->sin6_scope_id);
}

static bool same_kind(const struct identity *a, const struct identity *b)
{
	return a->type == b->type && a->protocol == b->protocol && a->network == b->network;
}

bool identity_same_place(const struct identity *a, const struct identity *b)
{
	size_t length, other;
	const char *x = identity_name(a, &length), *y = identity_name(b, &other);
	return is_named(a) && is_named(b) && identity_is_path(a) == identity_is_path(b) &&
	       a->directory_device == b->directory_device &&
	       a->directory_inode == b->directory_inode && length == other && !memcmp(x, y, length);
}

bool identity_same_host(const struct identity *a, const struct identity *b)
{
	if (a->family != b->family || a->v6only != b->v6only || !same_kind(a, b) ||
	        strncmp(a->device, b->device, sizeof(a->device)) != 0)
		return false;
	return identity_is_inet(a) ? same_ip(a, b) : identity_same_place(a, b);
}

bool identity_equal(const struct identity *a, const struct identity *b)
{
	return identity_same_host(a, b) && identity_port(a) == identity_port(b);
}

bool identity_covers(const struct identity *a, const struct identity *b)
{
	if (a->family == AF_INET)
		return b->family == AF_INET && ipv4_of(a) == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(ipv6_of(a)) && (b->family == AF_INET6 || !a->v6only);
}

bool identity_overlaps(const struct identity *a, const struct identity *b)
{
	return identity_is_inet(a) && identity_is_inet(b) && same_kind(a, b) &&
	       identity_port(a) == identity_port(b) && identity_port(a) &&
	       (identity_covers(a, b) || identity_covers(b, a));
}

/* The address of either family as IPv6. */
static struct in6_addr host_of(const struct identity *identity)
{
	struct in6_addr host = IN6ADDR_ANY_INIT;
	if (identity->family == AF_INET6)
		return *ipv6_of(identity);
	in_addr_t ipv4 = ipv4_of(identity);
	host.s6_addr[10] = host.s6_addr[11] = 0xff;
	memcpy(&host.s6_addr[12], &ipv4, sizeof(ipv4));
	return host;
}

/*
 * Is it an address of this host?  Then the kernel chooses the same address as the source of packets
 * to it.
 */
static bool is_own(const struct in6_addr *host)
{
	struct sockaddr_in6 to = {
	        .sin6_family = AF_INET6, .sin6_port = htons(9), .sin6_addr = *host};
	struct sockaddr_in6 from = {0};
	socklen_t length = sizeof(from);
	CLEANUP(fd_close) int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
	       getsockname(fd, (struct sockaddr *)&from, &length) == 0 &&
	       IN6_ARE_ADDR_EQUAL(&from.sin6_addr, host);
}

bool identity_is_found_at(const struct identity *listener, const struct identity *address)
{
	if (!identity_is_inet(listener) || !identity_is_inet(address) ||
	        !same_kind(listener, address) || identity_port(listener) != identity_port(address))
		return false;
	struct in6_addr host = host_of(address), own = host_of(listener);
	/* A client that connects to the wildcard reaches this host's loopback. */
	bool ipv4 = IN6_IS_ADDR_V4MAPPED(&host);
	bool any = ipv4 ? !memcmp(&host.s6_addr[12], "\0\0\0", 4) : IN6_IS_ADDR_UNSPECIFIED(&host);
	bool loopback = any || (ipv4 ? host.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&host));
	if (listener->family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&own))
		return (!ipv4 || !listener->v6only) && (loopback || is_own(&host));
	if (listener->family == AF_INET && ipv4_of(listener) == htonl(INADDR_ANY))
		return ipv4 && (loopback || is_own(&host));
	if (any && ipv4) /* 127.0.0.1 */
		return IN6_IS_ADDR_V4MAPPED(&own) && !memcmp(&own.s6_addr[12], "\177\0\0\1", 4);
	return any ? IN6_IS_ADDR_LOOPBACK(&own) : IN6_ARE_ADDR_EQUAL(&host, &own);
}

static const char *scheme(const struct identity *identity)
{
	if (identity->type == SOCK_SEQPACKET)
		return "seqpacket";
	if (identity->family == AF_UNIX)
		return identity->type == SOCK_DGRAM ? "dgram" : "unix";
	return identity->type == SOCK_DGRAM ? "udp" : "tcp";
}

static void print_unix(const struct identity *identity, int directory, char *text, size_t size)
{
	char link[32], place[PATH_MAX], shown[sizeof(struct sockaddr_storage) + 1];
	size_t length;
	const char *name = identity_name(identity, &length);
	for (size_t i = 0; i < length; i++)
		shown[i] = name[i] ? name[i] : '@';
	shown[length] = '\0';
	ssize_t end = -1;
	if (identity_is_path(identity) && directory >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", directory);
		end = readlink(link, place, sizeof(place) - 1);
	}
	place[end > 0 ? end : 0] = '\0';
	if (end == 1) /* the root */
		place[0] = '\0';
	snprintf(text, size, "%s:%s%s%s", scheme(identity), place,
	        identity_is_path(identity) && end > 0 ? "/" : "", shown);
	printable_make(text);
}

void identity_print(const struct identity *identity, int directory, char *text, size_t size)
{
	char host[INET6_ADDRSTRLEN] = "";
	if (!identity_is_inet(identity)) {
		print_unix(identity, directory, text, size);
		return;
	}
	bool v6 = identity->family == AF_INET6;
	inet_ntop(identity->family,
	        v6 ? (const void *)ipv6_of(identity)
	           : (const void *)&((const struct sockaddr_in *)&identity->address)->sin_addr,
	        host, sizeof(host));
	snprintf(text, size, v6 ? "%s:[%s]:%u" : "%s:%s:%u", scheme(identity), host,
	        identity_port(identity));
}
