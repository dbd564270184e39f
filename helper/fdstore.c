/* SPDX-License-Identifier: MIT */
/* The fd store: a duplicate of every listening socket. */
#include "helper/fdstore.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/util.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

void fdstore_deinit(struct fdstore *store)
{
	for (uint32_t i = 0; i < store->count; i++) {
		fd_close(&store->listeners[i].fd);
		fd_close(&store->listeners[i].fresh);
	}
	free(store->listeners);
	*store = (struct fdstore){0};
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);
	return getsockopt(fd, level, name, &value, &length) < 0 ? -1 : value;
}

static uint64_t inode_of(int fd)
{
	struct stat status;
	return fstat(fd, &status) < 0 ? 0 : status.st_ino;
}

int identity_of(int fd, bool bound, struct listener_identity *ret_identity)
{
	struct listener_identity id = {0};
	id.family = option(fd, SOL_SOCKET, SO_DOMAIN);
	id.protocol = option(fd, SOL_SOCKET, SO_PROTOCOL);
	if ((id.family != AF_INET && id.family != AF_INET6) ||
	        option(fd, SOL_SOCKET, SO_TYPE) != SOCK_STREAM)
		return -EAFNOSUPPORT;
	id.v6only = id.family == AF_INET6 ? option(fd, IPPROTO_IPV6, IPV6_V6ONLY) : 0;
	socklen_t length = sizeof(id.network);
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &id.network, &length) < 0)
		id.network = 0;
	length = sizeof(id.device);
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, id.device, &length) < 0)
		id.device[0] = '\0';
	length = sizeof(id.address);
	if (bound && getsockname(fd, (struct sockaddr *)&id.address, &length) < 0)
		return -errno;
	*ret_identity = id;
	return 0;
}

static uint16_t port_of(const struct sockaddr_storage *address)
{
	return ntohs(address->ss_family == AF_INET6
	                     ? ((const struct sockaddr_in6 *)address)->sin6_port
	                     : ((const struct sockaddr_in *)address)->sin_port);
}

/* Equal but for the port. A scope is part of a link-local address only. */
static bool same_host(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
	if (a->ss_family != b->ss_family)
		return false;
	if (a->ss_family == AF_INET)
		return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)b)->sin_addr.s_addr;
	const struct sockaddr_in6 *x = (const void *)a, *y = (const void *)b;
	return IN6_ARE_ADDR_EQUAL(&x->sin6_addr, &y->sin6_addr) &&
	       (!IN6_IS_ADDR_LINKLOCAL(&x->sin6_addr) || x->sin6_scope_id == y->sin6_scope_id);
}

static bool same_socket(const struct listener_identity *a, const struct listener_identity *b)
{
	return a->family == b->family && a->protocol == b->protocol && a->v6only == b->v6only &&
	       a->network == b->network && !strncmp(a->device, b->device, sizeof(a->device)) &&
	       same_host(&a->address, &b->address);
}

int fdstore_find(const struct fdstore *store, int fd, const struct sockaddr_storage *address,
        socklen_t length, int after)
{
	struct listener_identity wanted;
	if (identity_of(fd, false, &wanted) < 0 || wanted.family != address->ss_family ||
	        length < (wanted.family == AF_INET6 ? 24 /* SIN6_LEN_RFC2133 */
	                                            : sizeof(struct sockaddr_in)))
		return -1;
	wanted.address = *address;
	uint16_t port = port_of(address);
	for (uint32_t i = (uint32_t)(after + 1); i < store->count; i++) {
		const struct listener *listener = &store->listeners[i];
		if (listener->state == LISTENER_GONE || !same_socket(&listener->identity, &wanted))
			continue;
		if (port ? port == port_of(&listener->identity.address) : listener->ephemeral)
			return (int)i;
	}
	return -1;
}

int fdstore_find_inode(const struct fdstore *store, uint64_t inode)
{
	for (uint32_t i = 0; i < store->count; i++)
		if (store->listeners[i].state != LISTENER_GONE &&
		        store->listeners[i].inode == inode)
			return (int)i;
	return -1;
}

void fdstore_note_ephemeral(struct fdstore *store, int fd)
{
	store->ephemeral[store->ephemerals++ % COUNT(store->ephemeral)] = inode_of(fd);
}

int fdstore_add_consume(struct fdstore *store, int fd)
{
	struct listener listener = {.state = LISTENER_LIVE, .fd = fd, .fresh = -1};
	int result = identity_of(fd, true, &listener.identity);
	if (result == 0 && option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
		result = -EINVAL;
	if (result == 0 && store->count == MOULT_LISTENERS)
		result = -ENOSPC;
	if (result == 0 && store->count == store->allocated) {
		uint32_t larger = store->allocated ? store->allocated * 2 : 8;
		void *memory = realloc(store->listeners, larger * sizeof(listener));
		if (memory) {
			store->listeners = memory;
			store->allocated = larger;
		} else
			result = -ENOMEM;
	}
	if (result < 0) {
		close(fd);
		return result;
	}
	listener.inode = inode_of(fd);
	for (unsigned i = 0; i < COUNT(store->ephemeral); i++)
		listener.ephemeral |= store->ephemeral[i] == listener.inode;
	store->listeners[store->count] = listener;
	return (int)store->count++;
}

void listener_set_fresh_consume(struct listener *listener, int fresh)
{
	fd_close(&listener->fresh);
	listener->fresh = fresh;
}

/* ---- options ---- */

struct wanted_option {
	int level, name;
	bool doubled; /* the kernel answers twice what was set (socket(7), SO_RCVBUF) */
};

static const struct wanted_option wanted_options[] = {
        {SOL_SOCKET, SO_REUSEADDR, false},
        {SOL_SOCKET, SO_KEEPALIVE, false},
        {SOL_SOCKET, SO_OOBINLINE, false},
        {SOL_SOCKET, SO_DONTROUTE, false},
        {SOL_SOCKET, SO_PRIORITY, false},
        {SOL_SOCKET, SO_MARK, false},
        {SOL_SOCKET, SO_RCVLOWAT, false},
        {SOL_SOCKET, SO_SNDBUF, true},
        {SOL_SOCKET, SO_RCVBUF, true},
        {IPPROTO_TCP, TCP_NODELAY, false},
        {IPPROTO_TCP, TCP_MAXSEG, false},
        {IPPROTO_TCP, TCP_KEEPIDLE, false},
        {IPPROTO_TCP, TCP_KEEPINTVL, false},
        {IPPROTO_TCP, TCP_KEEPCNT, false},
        {IPPROTO_TCP, TCP_SYNCNT, false},
        {IPPROTO_TCP, TCP_LINGER2, false},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT, false},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, false},
        {IPPROTO_TCP, TCP_FASTOPEN, false},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, false},
        {IPPROTO_IP, IP_TOS, false},
        {IPPROTO_IP, IP_TTL, false},
        {IPPROTO_IPV6, IPV6_TCLASS, false},
        {IPPROTO_IPV6, IPV6_UNICAST_HOPS, false},
};

/* Options that are structs: copied as bytes. */
static const struct wanted_option wanted_structs[] = {
        {SOL_SOCKET, SO_LINGER, false},
        {SOL_SOCKET, SO_RCVTIMEO, false},
        {SOL_SOCKET, SO_SNDTIMEO, false},
        {IPPROTO_TCP, TCP_CONGESTION, false},
};

static void apply_struct(int from, int pristine, int to, const struct wanted_option *wanted)
{
	char set[32] = {0}, usual[32] = {0}, present[32] = {0};
	socklen_t set_length = sizeof(set), length = sizeof(usual);
	if (getsockopt(from, wanted->level, wanted->name, set, &set_length) < 0 ||
	        getsockopt(pristine, wanted->level, wanted->name, usual, &length) < 0)
		return;
	length = sizeof(present);
	if (!memcmp(set, usual, sizeof(set)) ||
	        getsockopt(to, wanted->level, wanted->name, present, &length) < 0 ||
	        !memcmp(set, present, sizeof(set)))
		return;
	(void)setsockopt(to, wanted->level, wanted->name, set, set_length); /* as below */
}

void listener_apply_fresh(struct listener *listener)
{
	int from = listener->fresh;
	if (from < 0)
		return;
	CLEANUP(fd_close)
	int pristine = socket(
	        listener->identity.family, SOCK_STREAM | SOCK_CLOEXEC, listener->identity.protocol);
	for (size_t i = 0; i < COUNT(wanted_options) && pristine >= 0; i++) {
		const struct wanted_option *wanted = &wanted_options[i];
		int value = option(from, wanted->level, wanted->name);
		if (value == option(pristine, wanted->level, wanted->name) ||
		        value == option(listener->fd, wanted->level, wanted->name))
			continue;
		if (wanted->doubled)
			value /= 2;
		/* What needs a privilege we lack stays as the earlier generation had it. */
		(void)setsockopt(listener->fd, wanted->level, wanted->name, &value, sizeof(value));
	}
	for (size_t i = 0; i < COUNT(wanted_structs) && pristine >= 0; i++)
		apply_struct(from, pristine, listener->fd, &wanted_structs[i]);
	fd_close(&listener->fresh);
}

void listener_set_nonblock(const struct listener *listener, bool nonblock)
{
	int flags = fcntl(listener->fd, F_GETFL);
	int wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (flags >= 0 && wanted != flags)
		(void)fcntl(listener->fd, F_SETFL, wanted); /* cannot fail on a socket of ours */
}

bool listener_is_nonblock(const struct listener *listener)
{
	int flags = fcntl(listener->fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK);
}

/* ---- the queue ---- */

int listener_queue(const struct listener *listener, unsigned *ret_queued, unsigned *ret_backlog)
{
	struct tcp_info info;
	socklen_t length = sizeof(info);
	if (getsockopt(listener->fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return -errno;
	if (info.tcpi_state != TCP_LISTEN)
		return -ENOTCONN;
	*ret_queued = info.tcpi_unacked; /* net/ipv4/tcp.c, tcp_get_info(): sk_ack_backlog */
	*ret_backlog = info.tcpi_sacked; /* and sk_max_ack_backlog */
	return 0;
}

void listener_set_backlog(struct listener *listener, int backlog)
{
	if (listen(listener->fd, backlog) == 0)
		listener->backlog = backlog;
}

void listener_refuse(const struct listener *listener, bool refuse)
{
	/* A filter on a TCP socket sees the packet from the TCP header on; byte 13 holds the flags.
	 */
	struct sock_filter drop_syn[] = {
	        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 13},
	        {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12 /* SYN, ACK */},
	        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02 /* SYN alone */},
	        {BPF_RET | BPF_K, 0, 0, 0},
	        {BPF_RET | BPF_K, 0, 0, 0xffffffff},
	};
	struct sock_fprog program = {COUNT(drop_syn), drop_syn};
	int zero = 0;
	if (refuse)
		(void)setsockopt(listener->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
		        sizeof(program)); /* without it a late client is reset instead of retrying
		                           */
	else
		(void)setsockopt(listener->fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero));
}

bool listener_is_empty(const struct listener *listener)
{
	unsigned queued, backlog;
	if (listener_queue(listener, &queued, &backlog) < 0)
		return true; /* it does not listen any more */
	struct audit_port port = listener_port(listener);
	return queued == 0 && audit_handshakes(&port) <= 0;
}

void listener_close(struct listener *listener)
{
	if (listener->state == LISTENER_GONE)
		return;
	shutdown(listener->fd, SHUT_RD);
	fd_close(&listener->fd);
	fd_close(&listener->fresh);
	listener->state = LISTENER_GONE;
}

struct audit_port listener_port(const struct listener *listener)
{
	return (struct audit_port){listener->identity.family, port_of(&listener->identity.address)};
}

void listener_print(const struct listener *listener, char *text, size_t size)
{
	const struct sockaddr_storage *address = &listener->identity.address;
	char host[INET6_ADDRSTRLEN];
	if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, host,
		        sizeof(host));
		snprintf(text, size, "tcp:[%s]:%u", host, port_of(address));
	} else {
		inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, host,
		        sizeof(host));
		snprintf(text, size, "tcp:%s:%u", host, port_of(address));
	}
}
