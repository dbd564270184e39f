/* SPDX-License-Identifier: MIT */
/* When are two sockets the same listener?  Compares the meaning of what the kernel says of them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/*
 * A UNIX socket with a path is identified by its directory (device and inode) and the last
 * component of its path; `address` holds that component alone.  The daemon's path may be relative
 * to a working directory or a root that the launcher does not have.
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

/*
 * Reads everything but the address from the socket.  0, or -EAFNOSUPPORT: a kind of socket that is
 * not handed over.
 */
int identity_of(int fd, struct identity *ret_identity);

/* The same, with the address that the socket is bound to.  0 or -errno. */
int identity_of_bound(int fd, struct identity *ret_identity);

/*
 * Sets the address that bind() was called with.  0, or -EINVAL: not an address of that family, too
 * short or too long.
 */
int identity_set_address(
        struct identity *identity, const struct sockaddr_storage *address, socklen_t length);

/*
 * Sets the directory of a path whose last component is the address.  0, or -EINVAL: the address is
 * not a single component.
 */
int identity_set_directory(struct identity *identity, uint64_t device, uint64_t inode);

bool identity_equal(const struct identity *a, const struct identity *b);

/* Equal, but the port may differ. */
bool identity_same_host(const struct identity *a, const struct identity *b);

/* The same directory and name; the kind of socket may differ. */
bool identity_same_place(const struct identity *a, const struct identity *b);

/* Is `a` a wildcard that receives what is sent to any address of the family of `b`? */
bool identity_covers(const struct identity *a, const struct identity *b);

/* Would a connection to that address, made in the same network namespace, reach this listener? */
bool identity_is_found_at(const struct identity *listener, const struct identity *address);

/*
 * Is one of them a wildcard on the port of the other, so that bind() to one may fail with
 * EADDRINUSE because of the other?
 */
bool identity_overlaps(const struct identity *a, const struct identity *b);

bool identity_is_inet(const struct identity *identity);
bool identity_is_path(const struct identity *identity);
bool identity_is_abstract(const struct identity *identity);

/* Is the socket read, and not accepted from? */
bool identity_is_datagram(const struct identity *identity);

/* The port in host order; 0 for UNIX sockets. */
uint16_t identity_port(const struct identity *identity);

/*
 * The last component of the path, or the abstract name (with its leading NUL), and its length.  It
 * is not terminated, and never longer than sun_path.
 */
const char *identity_name(const struct identity *identity, size_t *ret_length);

/* The same with a NUL at its end, copied to `room`, which has sizeof(struct sockaddr_un) bytes. */
const char *identity_text(const struct identity *identity, char *room);

/*
 * Prints "tcp:127.0.0.1:80", "udp:[::1]:53", "unix:@name" or "seqpacket:/run/x.sock".  Without an
 * open `directory` (-1) a path is printed as its last component.
 */
void identity_print(const struct identity *identity, int directory, char *text, size_t size);
