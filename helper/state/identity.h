/* SPDX-License-Identifier: MIT */
/* When are two sockets the same listener? Compared by meaning, from what the kernel says. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * A UNIX socket with a path is where its directory is (device and inode) and the last component of
 * its path, which is what `address` holds then; the path as the daemon said it may be relative to a
 * working directory or a root that is not ours.
 */
struct identity {
	int family; /* AF_INET, AF_INET6, AF_UNIX */
	int type;
	int protocol;
	int v6only;
	uint64_t network; /* SO_NETNS_COOKIE; 0 on kernels before 5.14, and for paths */
	char device[16];  /* SO_BINDTODEVICE */
	uint64_t directory_device, directory_inode;
	struct sockaddr_storage address;
	socklen_t length; /* of the address */
};

/* What the socket itself says, but for its address. 0, or -EAFNOSUPPORT: not ours to hand over. */
int identity_of(int fd, struct identity *ret_identity);

/* ... with the address it is bound to. */
int identity_of_bound(int fd, struct identity *ret_identity);

/* The address that bind() was called with. -EINVAL: not one of that family, or longer than it can be. */
int identity_set_address(
        struct identity *identity, const struct sockaddr_storage *address, socklen_t length);

/*
 * For a path whose last component is the address: the directory (device and inode) that it is in.
 * -EINVAL: it is not one component.
 */
int identity_set_directory(struct identity *identity, uint64_t device, uint64_t inode);

bool identity_equal(const struct identity *a, const struct identity *b);

/* The same but for the port. */
bool identity_same_host(const struct identity *a, const struct identity *b);

/* The same directory and name, whatever kind of socket. */
bool identity_same_place(const struct identity *a, const struct identity *b);

/* Does one take packets to any address of the other's family? */
bool identity_covers(const struct identity *a, const struct identity *b);

/* Would a connection to that address, from the same network, find this TCP listener? */
bool identity_is_found_at(const struct identity *listener, const struct identity *address);

/* Could bind() to one fail with EADDRINUSE because of the other, although they are different? */
bool identity_overlaps(const struct identity *a, const struct identity *b);

bool identity_is_inet(const struct identity *identity);
bool identity_is_path(const struct identity *identity);
bool identity_is_abstract(const struct identity *identity);

/* Nobody accepts: it is read. */
bool identity_is_datagram(const struct identity *identity);

/* Host order; 0 for UNIX sockets. */
uint16_t identity_port(const struct identity *identity);

/*
 * The last component of the path, or the abstract name (with its NUL) and its length: never more than
 * a sockaddr_un has.
 */
const char *identity_name(const struct identity *identity, size_t *ret_length);

/* The name of a path with its NUL, in `room`, which is as large as a sockaddr_un. */
const char *identity_text(const struct identity *identity, char *room);

/* "tcp:127.0.0.1:80", "udp:[::1]:53", "unix:@name", "seqpacket:/run/x.sock" (`directory` open). */
void identity_print(const struct identity *identity, int directory, char *text, size_t size);
