/* SPDX-License-Identifier: MIT */
/* The options of a shared socket when another generation accepts from it. */
#include "helper/state/socket_options.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "helper/base/socket_option.h"
#include "helper/base/util.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.15: which buffer sizes have been set */
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* Of Linux 5.11 (the first two), 5.18, 6.5 and 6.16. */
#ifndef SO_PREFER_BUSY_POLL
#define SO_PREFER_BUSY_POLL 69
#endif
#ifndef SO_BUSY_POLL_BUDGET
#define SO_BUSY_POLL_BUDGET 70
#endif
#ifndef SO_TXREHASH
#define SO_TXREHASH 74
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

struct socket_option {
	int level, name;
};

/* Setting IP_TOS changes SO_PRIORITY: IP_TOS comes first. */
static const struct socket_option integers[] = {
        {SOL_SOCKET, SO_REUSEADDR},
        {SOL_SOCKET, SO_KEEPALIVE},
        {SOL_SOCKET, SO_OOBINLINE},
        {SOL_SOCKET, SO_DONTROUTE},
        {SOL_SOCKET, SO_BROADCAST},
        {SOL_SOCKET, SO_MARK},
        {SOL_SOCKET, SO_RCVLOWAT},
        {SOL_SOCKET, SO_TIMESTAMP},
        {SOL_SOCKET, SO_TIMESTAMPNS},
        {SOL_SOCKET, SO_TIMESTAMPING},
        {SOL_SOCKET, SO_RXQ_OVFL},
        {SOL_SOCKET, SO_BUSY_POLL},
        {SOL_SOCKET, SO_PASSCRED},
        {SOL_SOCKET, SO_PASSSEC},
        {SOL_SOCKET, SO_INCOMING_CPU},
        {SOL_SOCKET, SO_NO_CHECK},
        {SOL_SOCKET, SO_PEEK_OFF},
        {SOL_SOCKET, SO_SELECT_ERR_QUEUE},
        {SOL_SOCKET, SO_ZEROCOPY},
        {SOL_SOCKET, SO_PREFER_BUSY_POLL},
        {SOL_SOCKET, SO_BUSY_POLL_BUDGET},
        {SOL_SOCKET, SO_TXREHASH},
        {SOL_SOCKET, SO_PASSPIDFD},
        {SOL_SOCKET, SO_PASSRIGHTS},
        {IPPROTO_TCP, TCP_NODELAY},
        {IPPROTO_TCP, TCP_MAXSEG},
        {IPPROTO_TCP, TCP_WINDOW_CLAMP},
        {IPPROTO_TCP, TCP_KEEPIDLE},
        {IPPROTO_TCP, TCP_KEEPINTVL},
        {IPPROTO_TCP, TCP_KEEPCNT},
        {IPPROTO_TCP, TCP_SYNCNT},
        {IPPROTO_TCP, TCP_LINGER2},
        {IPPROTO_TCP, TCP_DEFER_ACCEPT},
        {IPPROTO_TCP, TCP_USER_TIMEOUT},
        {IPPROTO_TCP, TCP_FASTOPEN},
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
        {IPPROTO_TCP, TCP_SAVE_SYN},
        {IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE},
        {IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS},
        {IPPROTO_TCP, TCP_TX_DELAY},
        {IPPROTO_TCP, TCP_INQ},
        {IPPROTO_UDP, UDP_SEGMENT},
        {IPPROTO_UDP, UDP_GRO},
        {IPPROTO_IP, IP_TOS},
        {IPPROTO_IP, IP_TTL},
        {IPPROTO_IP, IP_MINTTL},
        {IPPROTO_IP, IP_MTU_DISCOVER},
        {IPPROTO_IP, IP_TRANSPARENT},
        {IPPROTO_IP, IP_FREEBIND},
        {IPPROTO_IP, IP_PKTINFO},
        {IPPROTO_IP, IP_RECVTTL},
        {IPPROTO_IP, IP_RECVTOS},
        {IPPROTO_IP, IP_RECVERR},
        {IPPROTO_IP, IP_RECVORIGDSTADDR},
        {IPPROTO_IP, IP_NODEFRAG},
        {IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT},
        {IPPROTO_IP, IP_RECVFRAGSIZE},
        {IPPROTO_IP, IP_UNICAST_IF},
        {IPPROTO_IP, IP_MULTICAST_TTL},
        {IPPROTO_IP, IP_MULTICAST_LOOP},
        {IPPROTO_IP, IP_MULTICAST_ALL},
        {IPPROTO_IPV6, IPV6_TCLASS},
        {IPPROTO_IPV6, IPV6_UNICAST_HOPS},
        {IPPROTO_IPV6, IPV6_MTU_DISCOVER},
        {IPPROTO_IPV6, IPV6_RECVPKTINFO},
        {IPPROTO_IPV6, IPV6_RECVHOPLIMIT},
        {IPPROTO_IPV6, IPV6_RECVTCLASS},
        {IPPROTO_IPV6, IPV6_RECVERR},
        {IPPROTO_IPV6, IPV6_MINHOPCOUNT},
        {IPPROTO_IPV6, IPV6_FREEBIND},
        {IPPROTO_IPV6, IPV6_TRANSPARENT},
        {IPPROTO_IPV6, IPV6_UNICAST_IF},
        {IPPROTO_IPV6, IPV6_MTU},
        {IPPROTO_IPV6, IPV6_DONTFRAG},
        {IPPROTO_IPV6, IPV6_AUTOFLOWLABEL},
        {IPPROTO_IPV6, IPV6_MULTICAST_HOPS},
        {IPPROTO_IPV6, IPV6_MULTICAST_LOOP},
        {IPPROTO_IPV6, IPV6_MULTICAST_IF},
        {SOL_SOCKET, SO_PRIORITY},
};

/* Options that are structs or strings: copied as bytes. */
static const struct socket_option structs[] = {
        {SOL_SOCKET, SO_LINGER},
        {SOL_SOCKET, SO_RCVTIMEO},
        {SOL_SOCKET, SO_SNDTIMEO},
        {IPPROTO_TCP, TCP_CONGESTION},
        {IPPROTO_IP, IP_MULTICAST_IF},
};

enum { RECEIVE_LOCKED = 2, SEND_LOCKED = 1 }; /* SOCK_RCVBUF_LOCK, SOCK_SNDBUF_LOCK */

/*
 * The value to set so that an option becomes what `value`, read from the template, means.  Two
 * options read differently from what must be set when nobody has set them:
 *   - TCP_MAXSEG reads as 536, the segment that every host must take.  Set, 536 would limit all
 *     connections; 0 means "not set".
 *   - TCP_WINDOW_CLAMP reads as 0, which cannot be set on a socket that listens (tcp(7)).  The
 *     widest window is as good: for a connection the kernel takes it instead of 0.
 */
static int settable(const struct socket_option *option, int value)
{
	enum { UNSET_SEGMENT = 536, WIDEST = 0xffff << 14 };
	if (option->level == IPPROTO_TCP && option->name == TCP_MAXSEG && value == UNSET_SEGMENT)
		return 0;
	if (option->level == IPPROTO_TCP && option->name == TCP_WINDOW_CLAMP && value == 0)
		return WIDEST;
	return value;
}

/*
 * Are both sockets of one network namespace?  SO_MARK is only copied within one: in a user and
 * network namespace of its own any process may set SO_MARK, on a UNIX socket for example, and a
 * copy would carry the mark out of that namespace.
 */
static bool is_of_one_network(int a, int b)
{
	uint64_t x = 0, y = 0;
	socklen_t length = sizeof(x);
	(void)getsockopt(a, SOL_SOCKET, SO_NETNS_COOKIE, &x, &length);
	length = sizeof(y);
	(void)getsockopt(b, SOL_SOCKET, SO_NETNS_COOKIE, &y, &length);
	return x == y; /* before Linux 5.14 both are 0 */
}

static void copy_integer(int template, int shared, const struct socket_option *wanted)
{
	int value = 0, present = 0;
	socklen_t length = sizeof(value), other = sizeof(present);
	if (getsockopt(template, wanted->level, wanted->name, &value, &length) < 0 ||
	        getsockopt(shared, wanted->level, wanted->name, &present, &other) < 0 ||
	        value == present)
		return;
	value = settable(wanted, value);
	(void)setsockopt(shared, wanted->level, wanted->name, &value, length);
}

static void copy_struct(int template, int shared, const struct socket_option *wanted)
{
	char value[32] = {0}, present[32] = {0};
	socklen_t length = sizeof(value), other = sizeof(present);
	if (getsockopt(template, wanted->level, wanted->name, value, &length) < 0 ||
	        getsockopt(shared, wanted->level, wanted->name, present, &other) < 0 ||
	        !memcmp(value, present, sizeof(value)))
		return;
	(void)setsockopt(shared, wanted->level, wanted->name, value, length);
}

/*
 * Copies a buffer size.  Setting a size also stops the kernel from choosing it (SO_BUF_LOCK), for
 * accepted connections too.  So a size that is not set on the template is unlocked again here.  The
 * kernel returns twice the size that was set.
 */
static void copy_buffer(int template, int shared, int name, int force, int lock)
{
	int value = socket_option(template, SOL_SOCKET, name);
	int locks = socket_option(template, SOL_SOCKET, SO_BUF_LOCK);
	int present = socket_option(shared, SOL_SOCKET, SO_BUF_LOCK);
	bool fixed = locks < 0 || (locks & lock);
	if (value < 0 || (value == socket_option(shared, SOL_SOCKET, name) &&
	                         (present < 0 || fixed == !!(present & lock))))
		return;
	value /= 2;
	/* Above net.core.rmem_max or wmem_max only with CAP_NET_ADMIN, else the maximum. */
	if (setsockopt(shared, SOL_SOCKET, force, &value, sizeof(value)) < 0)
		(void)setsockopt(shared, SOL_SOCKET, name, &value, sizeof(value));
	present = socket_option(shared, SOL_SOCKET, SO_BUF_LOCK);
	if (!fixed && present >= 0) {
		present &= ~lock;
		(void)setsockopt(shared, SOL_SOCKET, SO_BUF_LOCK, &present, sizeof(present));
	}
}

/*
 * Copies SO_BINDTODEVICE.  A process of an old generation may have bound the shared socket to a
 * device, which keeps all other clients away.
 */
static void copy_device(int template, int shared)
{
	char value[IFNAMSIZ] = {0}, present[IFNAMSIZ] = {0};
	socklen_t length = sizeof(value), other = sizeof(present);
	if (getsockopt(template, SOL_SOCKET, SO_BINDTODEVICE, value, &length) < 0 ||
	        getsockopt(shared, SOL_SOCKET, SO_BINDTODEVICE, present, &other) < 0 ||
	        !strncmp(value, present, sizeof(value)))
		return;
	(void)setsockopt(shared, SOL_SOCKET, SO_BINDTODEVICE, value, sizeof(value));
}

/*
 * Copies a classic BPF filter.  If the template has no filter, any filter of the shared socket is
 * taken off.  If the template has an eBPF filter, which cannot be read, the shared socket keeps its
 * own.
 */
static void copy_filter(int template, int shared)
{
	int zero = 0;
	socklen_t count = 0; /* of instructions, for this option */
	if (getsockopt(template, SOL_SOCKET, SO_GET_FILTER, NULL, &count) < 0)
		return;
	if (!count) {
		(void)setsockopt(shared, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero));
		return;
	}
	struct sock_filter *code = calloc(count, sizeof(*code));
	if (code && getsockopt(template, SOL_SOCKET, SO_GET_FILTER, code, &count) == 0) {
		struct sock_fprog program = {(unsigned short)count, code};
		(void)setsockopt(shared, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	}
	free(code);
}

void socket_options_copy(int template, int shared)
{
	bool alike = is_of_one_network(template, shared);
	for (size_t i = 0; i < COUNT(integers); i++)
		if (alike || integers[i].level != SOL_SOCKET || integers[i].name != SO_MARK)
			copy_integer(template, shared, &integers[i]);
	for (size_t i = 0; i < COUNT(structs); i++)
		copy_struct(template, shared, &structs[i]);
	copy_buffer(template, shared, SO_RCVBUF, SO_RCVBUFFORCE, RECEIVE_LOCKED);
	copy_buffer(template, shared, SO_SNDBUF, SO_SNDBUFFORCE, SEND_LOCKED);
	copy_device(template, shared);
	copy_filter(template, shared);
}

bool socket_has_locked_filter(int fd)
{
	socklen_t count = 0;
	return socket_option(fd, SOL_SOCKET, SO_LOCK_FILTER) == 1 &&
	       (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &count) < 0 || count);
}

bool socket_is_reuseport(int fd)
{
	return socket_option(fd, SOL_SOCKET, SO_REUSEPORT) == 1;
}

void socket_set_reuseport(int fd, bool reuseport)
{
	int value = reuseport;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &value, sizeof(value)); /* no use for UNIX */
}

void socket_set_nonblock(int fd, bool nonblock)
{
	int flags = fcntl(fd, F_GETFL);
	int wanted = nonblock ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	if (flags >= 0 && wanted != flags)
		(void)fcntl(fd, F_SETFL, wanted); /* cannot fail on an open socket */
}

bool socket_is_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && (flags & O_NONBLOCK);
}

static void attach(int fd, struct sock_filter *code, unsigned short count)
{
	struct sock_fprog program = {count, code};
	/* Failure is ignored: late clients are then reset instead of trying again. */
	(void)setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

void socket_refuse_connections(int fd)
{
	/* A filter on a TCP socket sees packets from the TCP header on.  Byte 13 has the flags. */
	struct sock_filter drop_syn[] = {
	        {BPF_LD | BPF_B | BPF_ABS, 0, 0, 13},
	        {BPF_ALU | BPF_AND | BPF_K, 0, 0, 0x12 /* SYN, ACK */},
	        {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0x02 /* SYN alone */},
	        {BPF_RET | BPF_K, 0, 0, 0},
	        {BPF_RET | BPF_K, 0, 0, 0xffffffff},
	};
	attach(fd, drop_syn, COUNT(drop_syn));
}

void socket_refuse_datagrams(int fd)
{
	struct sock_filter drop[] = {{BPF_RET | BPF_K, 0, 0, 0}};
	attach(fd, drop, COUNT(drop));
}

void socket_refuse_nothing(int fd)
{
	int zero = 0;
	(void)setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero));
}
