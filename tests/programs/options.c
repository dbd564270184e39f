/* SPDX-License-Identifier: MIT */
/*
 * A daemon that sets options of its socket and reports their values.  Takes the options of
 * legacy_daemon.h:
 *
 *   --model=NAME=VALUE,@NAME=VALUE   sets options before bind(), those with @ after listen()
 *   --output=FILE                    writes all values to FILE before it serves: "name=value" words
 *
 * Serves as legacy.h says.  To "report" the answer is one line with all present values.  As a
 * datagram server (--type=dgram) the program answers both, too.
 */
#define _LARGEFILE64_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

enum { CONNECTIONS = 64, REPORT = 4096 };

static const struct {
	const char *name;
	int level, option;
} numbers[] = {
        {"reuseaddr", SOL_SOCKET, SO_REUSEADDR},
        {"keepalive", SOL_SOCKET, SO_KEEPALIVE},
        {"rcvbuf", SOL_SOCKET, SO_RCVBUF},
        {"sndbuf", SOL_SOCKET, SO_SNDBUF},
        {"buf-lock", SOL_SOCKET, SO_BUF_LOCK},
        {"acceptconn", SOL_SOCKET, SO_ACCEPTCONN},
        {"nodelay", IPPROTO_TCP, TCP_NODELAY},
        {"defer-accept", IPPROTO_TCP, TCP_DEFER_ACCEPT},
        {"fastopen", IPPROTO_TCP, TCP_FASTOPEN},
        {"keepidle", IPPROTO_TCP, TCP_KEEPIDLE},
        {"maxseg", IPPROTO_TCP, TCP_MAXSEG},
        {"window-clamp", IPPROTO_TCP, TCP_WINDOW_CLAMP},
        {"linger2", IPPROTO_TCP, TCP_LINGER2},
        {"user-timeout", IPPROTO_TCP, TCP_USER_TIMEOUT},
        {"tos", IPPROTO_IP, IP_TOS},
        {"ttl", IPPROTO_IP, IP_TTL},
        {"pktinfo", IPPROTO_IP, IP_PKTINFO},
        {"v6only", IPPROTO_IPV6, IPV6_V6ONLY},
        {"recvpktinfo6", IPPROTO_IPV6, IPV6_RECVPKTINFO},
};

static char spec[LEGACY_LINE];

/* ---- setting ---- */

static void must(int result, const char *what)
{
	if (result < 0)
		legacy_die(5, what);
}

/* Attaches a filter of `count` instructions that lets everything pass. */
static int set_filter(int fd, int count)
{
	struct sock_filter code[16];
	for (int i = 0; i < count && i < 16; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	struct sock_fprog program = {(unsigned short)count, code};
	return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
}

/* Sets O_NONBLOCK to `value` (0 or 1) by ioctl, fcntl or fcntl64. */
static int set_nonblock(int fd, const char *how, int value)
{
	if (strcmp(how, "ioctl") == 0)
		return ioctl(fd, FIONBIO, &value);
	int flags = strcmp(how, "fcntl64") == 0 ? fcntl64(fd, F_GETFL) : fcntl(fd, F_GETFL);
	flags = value ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return strcmp(how, "fcntl64") == 0 ? fcntl64(fd, F_SETFL, flags)
	                                   : fcntl(fd, F_SETFL, flags);
}

static int join(int fd, const char *group)
{
	struct ip_mreq request = {.imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
	if (inet_pton(AF_INET, group, &request.imr_multiaddr) != 1)
		return errno = EINVAL, -1;
	return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof(request));
}

static int set(int fd, const char *name, const char *value)
{
	int number = atoi(value);
	for (size_t i = 0; i < COUNT(numbers); i++)
		if (strcmp(name, numbers[i].name) == 0)
			return setsockopt(
			        fd, numbers[i].level, numbers[i].option, &number, sizeof(number));
	if (strcmp(name, "rcvtimeo") == 0) {
		struct timeval t = {.tv_sec = number};
		return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	}
	if (strcmp(name, "linger") == 0) {
		struct linger l = {1, number};
		return setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
	}
	if (strcmp(name, "congestion") == 0)
		return setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, value, (socklen_t)strlen(value));
	if (strcmp(name, "filter") == 0)
		return set_filter(fd, number);
	if (strcmp(name, "cloexec") == 0)
		return fcntl(fd, F_SETFD, number ? FD_CLOEXEC : 0);
	if (strcmp(name, "join") == 0)
		return join(fd, value);
	return set_nonblock(fd, name, number);
}

static void set_all(bool late)
{
	char copy[LEGACY_LINE], *rest, *word;
	snprintf(copy, sizeof(copy), "%s", spec);
	for (word = strtok_r(copy, ",", &rest); word; word = strtok_r(NULL, ",", &rest)) {
		char *value = strchr(word, '=');
		if (!value || (word[0] == '@') != late)
			continue;
		*value = '\0';
		for (int i = 0; i < legacy.listener_count; i++)
			must(set(legacy.listeners[i], word + late, value + 1), word);
	}
}

static void set_early(void)
{
	snprintf(spec, sizeof(spec), "%s", legacy.style);
	set_all(false);
}

/* ---- reporting ---- */

static size_t tell_name(int fd, char *text, size_t size)
{
	struct sockaddr_storage a;
	socklen_t length = sizeof(a);
	char host[INET6_ADDRSTRLEN] = "";
	if (getsockname(fd, (struct sockaddr *)&a, &length) < 0)
		return 0;
	const struct sockaddr_in *in4 = (const void *)&a;
	const struct sockaddr_in6 *in6 = (const void *)&a;
	inet_ntop(a.ss_family,
	        a.ss_family == AF_INET ? (const void *)&in4->sin_addr : &in6->sin6_addr, host,
	        sizeof(host));
	return (size_t)snprintf(text, size, "name=%s:%d ", host, ntohs(in4->sin_port));
}

static void tell(int fd, char *text, size_t size)
{
	struct timeval t = {0};
	struct linger l = {0};
	struct tcp_info info = {0};
	char congestion[32] = "none";
	size_t at = tell_name(fd, text, size);
	for (size_t i = 0; i < COUNT(numbers); i++) {
		int value = 0;
		socklen_t length = sizeof(value);
		if (getsockopt(fd, numbers[i].level, numbers[i].option, &value, &length) == 0)
			at += (size_t)snprintf(
			        text + at, size - at, "%s=%d ", numbers[i].name, value);
	}
	socklen_t length = sizeof(t);
	getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &length);
	length = sizeof(l);
	getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &length);
	length = sizeof(congestion);
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &length);
	length = sizeof(info);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length);
	length = 0;
	getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &length);
	snprintf(text + at, size - at,
	        "rcvtimeo=%ld linger=%d congestion=%s filter=%u state=%d backlog=%u "
	        "nonblock=%d nonblock64=%d cloexec=%d tag=%s pid=%d\n",
	        (long)t.tv_sec, l.l_onoff ? l.l_linger : -1, congestion, (unsigned)length,
	        info.tcpi_state, info.tcpi_sacked, !!(fcntl(fd, F_GETFL) & O_NONBLOCK),
	        !!(fcntl64(fd, F_GETFL) & O_NONBLOCK), !!(fcntl(fd, F_GETFD) & FD_CLOEXEC),
	        legacy.tag, (int)getpid());
}

static void write_output(void)
{
	char text[REPORT];
	tell(legacy.listeners[0], text, sizeof(text));
	FILE *out = fopen(legacy.output, "we");
	if (!out || fputs(text, out) < 0 || fclose(out) != 0)
		legacy_die(4, legacy.output);
}

/* ---- serving ---- */

static size_t answer(int listener, const char *question, char *text, size_t size)
{
	if (strncmp(question, "report", 6) == 0)
		tell(listener, text, size);
	else
		snprintf(text, size, "GEN %s %d\n", legacy.tag, (int)getpid());
	return strlen(text);
}

static bool serve_connection(int listener, int fd)
{
	char question[LEGACY_LINE] = "", text[REPORT];
	ssize_t n = read(fd, question, sizeof(question) - 1);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0)
		return false;
	size_t length = answer(listener, question, text, sizeof(text));
	return write(fd, text, length) == (ssize_t)length;
}

static void serve_datagram(int fd)
{
	char question[LEGACY_LINE] = "", text[REPORT];
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	ssize_t n = recvfrom(fd, question, sizeof(question) - 1, MSG_DONTWAIT,
	        (struct sockaddr *)&from, &length);
	if (n >= 0)
		(void)!sendto(fd, text, answer(fd, question, text, sizeof(text)), 0,
		        (struct sockaddr *)&from, length);
}

int main(int argc, char **argv)
{
	struct pollfd set[CONNECTIONS];
	nfds_t count = 1;
	legacy_unbound = set_early;
	legacy_start(argc, argv);
	set_all(true);
	if (legacy.output)
		write_output();
	legacy_waiting();
	set[0] = (struct pollfd){.fd = legacy.listeners[0], .events = POLLIN};
	for (;;) {
		int result = poll(set, count, -1);
		if (legacy_dying)
			exit(1);
		if (result < 0 && errno != EINTR)
			legacy_die(4, "poll");
		if (result < 0)
			continue;
		for (nfds_t i = count; i-- > 1;)
			if (set[i].revents && !serve_connection(set[0].fd, set[i].fd)) {
				close(set[i].fd);
				set[i] = set[--count];
			}
		if (!(set[0].revents & POLLIN))
			continue;
		if (!legacy_is_stream(set[0].fd)) {
			serve_datagram(set[0].fd);
			continue;
		}
		int fd = count < CONNECTIONS ? accept(set[0].fd, NULL, NULL) : -1;
		if (fd >= 0)
			set[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
}
