/* SPDX-License-Identifier: MIT */
/*
 * The addresses that the load client connects to, as they are written on the command line:
 *
 *   127.0.0.1:80  [::1]:80                   TCP
 *   unix:/path  unix:@name                   a UNIX stream socket, by path or abstract
 *   seqpacket:/path  seqpacket:@name
 *   udp:127.0.0.1:80  udp:[::1]:80           one datagram a question, one datagram its answer
 *   dgram:/path  dgram:@name
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { ADDRESS_TEXT = sizeof(((struct sockaddr_un *)NULL)->sun_path) + INET6_ADDRSTRLEN + 9 };

struct address {
	int type; /* SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM */
	socklen_t length;
	struct sockaddr_storage name;
};

/* Returns NULL, or the complaint about a text that is no address. */
const char *address_parse(const char *text, struct address *address);

/* The own name of a socket, as a server reads it: 127.0.0.1:80, [::1]:80 or @name. */
bool address_own(int fd, char text[ADDRESS_TEXT]);
