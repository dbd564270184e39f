/* SPDX-License-Identifier: MIT */
/* The addresses of the load client, as text: see address.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "tests/harness/load/address.h"

/* Returns NULL, or the complaint. */
static const char *address_parse_ip(const char *text, struct address *address)
{
	char host[INET6_ADDRSTRLEN + 2], *end;
	const char *colon = strrchr(text, ':');
	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return "--address: not HOST:PORT";
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	errno = 0;
	long port = strtol(colon + 1, &end, 10);
	if (errno || end == colon + 1 || *end || port < 1 || port > 65535)
		return "--address: not a port from 1 to 65535";

	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in4.sin_port};
	size_t length = strlen(host);
	if (length > 1 && host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &in6.sin6_addr) != 1)
			return "--address: not an IPv6 address";
		memcpy(&address->name, &in6, sizeof(in6));
		address->length = sizeof(in6);
	} else {
		if (inet_pton(AF_INET, host, &in4.sin_addr) != 1)
			return "--address: not an IPv4 address";
		memcpy(&address->name, &in4, sizeof(in4));
		address->length = sizeof(in4);
	}
	return NULL;
}

static const char *address_parse_unix(const char *text, struct address *address)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	size_t length = strlen(text);
	if (length < 2 || length >= sizeof(un.sun_path) || (text[0] != '/' && text[0] != '@'))
		return "--address: not the path of a UNIX socket, or too long";
	memcpy(un.sun_path, text, length);
	if (text[0] == '@')
		un.sun_path[0] = '\0';
	address->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
	memcpy(&address->name, &un, sizeof(un));
	return NULL;
}

const char *address_parse(const char *text, struct address *address)
{
	static const struct {
		const char *prefix;
		int type;
		const char *(*parse)(const char *, struct address *);
	} kinds[] = {{"unix:", SOCK_STREAM, address_parse_unix},
	        {"seqpacket:", SOCK_SEQPACKET, address_parse_unix},
	        {"dgram:", SOCK_DGRAM, address_parse_unix}, {"udp:", SOCK_DGRAM, address_parse_ip},
	        {"", SOCK_STREAM, address_parse_ip}};
	size_t i = 0;
	while (strncmp(text, kinds[i].prefix, strlen(kinds[i].prefix)) != 0)
		i++;
	address->type = kinds[i].type;
	return kinds[i].parse(text + strlen(kinds[i].prefix), address);
}

bool address_own(int fd, char text[ADDRESS_TEXT])
{
	struct sockaddr_storage name = {.ss_family = AF_UNSPEC};
	socklen_t length = sizeof(name);
	if (getsockname(fd, (struct sockaddr *)&name, &length) < 0)
		return false;
	if (name.ss_family == AF_UNIX) {
		struct sockaddr_un un;
		memcpy(&un, &name, sizeof(un));
		int size = (int)(length - offsetof(struct sockaddr_un, sun_path));
		snprintf(text, ADDRESS_TEXT, "@%.*s", size - 1, un.sun_path + 1);
		return true;
	}
	char host[INET6_ADDRSTRLEN];
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;
	memcpy(&in4, &name, sizeof(in4));
	memcpy(&in6, &name, sizeof(in6));
	bool is_4 = name.ss_family == AF_INET;
	inet_ntop(name.ss_family, is_4 ? (void *)&in4.sin_addr : (void *)&in6.sin6_addr, host,
	        sizeof(host));
	snprintf(text, ADDRESS_TEXT, is_4 ? "%s:%d" : "[%s]:%d", host,
	        ntohs(is_4 ? in4.sin_port : in6.sin6_port));
	return true;
}
