/* SPDX-License-Identifier: MIT */
/*
 * Part of legacy_daemon.h.  What the test daemons listen on (addresses of every family, UNIX
 * sockets with their paths, one SO_REUSEPORT socket per worker), and their habits with paths.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

enum { PATHS = 8, NOBODY = 65534 };

/* 127.0.0.1; ::1 only; :: with IPv4; 127.0.0.1 and ::1 on one port. */
enum family { FAMILY_4, FAMILY_6, FAMILY_DUAL, FAMILY_BOTH };
static const char *const family_names[] = {"4", "6", "dual", "both"};

static struct {
	int ports[LEGACY_LISTENERS];
	int port_count;
	const char *paths[PATHS]; /* "@name": abstract */
	int path_count;
	enum family family;
	const char *host; /* replaces the family's usual address */
} places;

/* The sockets to make, in the order in which they are made and bound. */
struct endpoint {
	enum family family; /* if there is no path */
	int type;
	int port;
	const char *path; /* of a UNIX socket, else NULL */
};
static struct endpoint endpoints[LEGACY_LISTENERS];
static int endpoint_count;

/* ---- options ---- */

static void port_add(int port)
{
	if (places.port_count == LEGACY_LISTENERS) {
		errno = E2BIG;
		legacy_die(2, "--port");
	}
	places.ports[places.port_count++] = port;
}

static void ports_add(const char *range)
{
	int first, last;
	if (sscanf(range, "%d-%d", &first, &last) != 2) {
		errno = EINVAL;
		legacy_die(2, range);
	}
	for (int port = first; port <= last; port++)
		port_add(port);
}

static void path_add(const char *path)
{
	if (places.path_count == PATHS) {
		errno = E2BIG;
		legacy_die(2, path);
	}
	places.paths[places.path_count++] = path;
}

static void host_set(const char *host)
{
	places.host = host;
	if (strchr(host, ':') && places.family == FAMILY_4)
		places.family = FAMILY_6;
}

static void reuseport_set(const char *who)
{
	legacy.reuseport = !who                         ? REUSEPORT_WORKER
	                   : strcmp(who, "master") == 0 ? REUSEPORT_MASTER
	                                                : REUSEPORT_NO;
}

/* ---- from socket() to listen() ---- */

static void endpoint_add(enum family family, int type, int port, const char *path)
{
	if (endpoint_count == LEGACY_LISTENERS) {
		errno = E2BIG;
		legacy_die(2, "listeners");
	}
	endpoints[endpoint_count++] = (struct endpoint){family, type, port, path};
}

static void endpoints_add_all(void)
{
	bool both = places.family == FAMILY_BOTH;
	for (int i = 0; i < places.port_count; i++) {
		endpoint_add(both ? FAMILY_4 : places.family, legacy.type, places.ports[i], NULL);
		if (both)
			endpoint_add(FAMILY_6, legacy.type, places.ports[i], NULL);
		if (legacy.tcp)
			endpoint_add(places.family, SOCK_STREAM, places.ports[i], NULL);
	}
	for (int i = 0; i < places.path_count; i++)
		endpoint_add(FAMILY_4, legacy.type, 0, places.paths[i]);
}

static int listener_socket(const struct endpoint *e)
{
	int one = 1, v6only = e->family != FAMILY_DUAL;
	int domain = e->path ? AF_UNIX : e->family == FAMILY_4 ? AF_INET : AF_INET6;
	int fd = socket(domain, e->type | (legacy.nonblocking ? SOCK_NONBLOCK : 0), 0);
	if (fd < 0)
		legacy_die(4, "socket");
	if (e->path)
		return fd;
	if (e->type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (legacy.reuseport)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (e->family != FAMILY_4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	return fd;
}

static socklen_t unix_address(const char *path, struct sockaddr_un *ret_un)
{
	*ret_un = (struct sockaddr_un){.sun_family = AF_UNIX};
	size_t length = strlen(path);
	if (length >= sizeof(ret_un->sun_path)) {
		errno = ENAMETOOLONG;
		legacy_die(2, path);
	}
	memcpy(ret_un->sun_path, path, length);
	if (path[0] == '@')
		ret_un->sun_path[0] = '\0';
	/* As in most programs, the length counts the NUL of a path; an abstract name has none. */
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] != '@'));
}

static int listener_bind_ip(int fd, const struct endpoint *e)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
	        .sin_port = htons((uint16_t)e->port),
	        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in4.sin_port};
	in6.sin6_addr = e->family == FAMILY_DUAL ? in6addr_any : in6addr_loopback;
	bool is_4 = e->family == FAMILY_4;
	if (places.host && inet_pton(is_4 ? AF_INET : AF_INET6, places.host,
	                           is_4 ? (void *)&in4.sin_addr : (void *)&in6.sin6_addr) != 1) {
		errno = EINVAL;
		legacy_die(2, places.host);
	}
	return is_4 ? bind(fd, (struct sockaddr *)&in4, sizeof(in4))
	            : bind(fd, (struct sockaddr *)&in6, sizeof(in6));
}

static void listener_bind(int fd, const struct endpoint *e)
{
	struct sockaddr_un un;
	if (e->path ? bind(fd, (struct sockaddr *)&un, unix_address(e->path, &un)) < 0
	            : listener_bind_ip(fd, e) < 0)
		legacy_die(3, "bind");
}

static int workers(void)
{
	return legacy.processes ? legacy.processes : legacy.threads ? legacy.threads : 1;
}

/* Makes all sockets.  A master with SO_REUSEPORT makes them for one worker after the other. */
static void listeners_make(void)
{
	struct rlimit limit;
	endpoint_count = legacy.listener_count = 0;
	for (int i = 0; i < (legacy.reuseport == REUSEPORT_MASTER ? workers() : 1); i++)
		endpoints_add_all();
	if (endpoint_count > 500 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	for (int i = 0; i < endpoint_count; i++)
		legacy.listeners[legacy.listener_count++] = listener_socket(&endpoints[i]);
}

static void listeners_bind(void)
{
	for (int i = 0; i < endpoint_count; i++)
		listener_bind(legacy.listeners[i], &endpoints[i]);
}

static void listeners_listen(void)
{
	for (int i = 0; i < endpoint_count; i++)
		if (endpoints[i].type != SOCK_DGRAM &&
		        listen(legacy.listeners[i], legacy.backlog) < 0)
			legacy_die(3, "listen");
}

/* Keeps only this worker's part of the listeners that the master has made. */
static void listeners_choose(int worker)
{
	int each = legacy.listener_count / workers();
	memmove(legacy.listeners, legacy.listeners + worker * each,
	        (size_t)each * sizeof(legacy.listeners[0]));
	legacy.listener_count = each;
}

bool legacy_is_stream(int fd)
{
	int type = 0;
	socklen_t length = sizeof(type);
	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type != SOCK_DGRAM;
}

/* ---- habits with a path ---- */

static void habit_unlink_first(void)
{
	for (int i = 0; i < places.path_count; i++)
		(void)unlink(places.paths[i]);
}

/* Does another process serve at this address? */
static bool answers(int domain, const struct sockaddr *address, socklen_t length)
{
	int fd = socket(domain, domain == AF_UNIX ? legacy.type : SOCK_STREAM, 0);
	bool connected = connect(fd, address, length) == 0;
	close(fd);
	return connected;
}

static _Noreturn void end_as_second(void)
{
	fprintf(stderr, "%s %s: already running\n", legacy.program, legacy.tag);
	_exit(1);
}

/* Ends if another process serves there; removes the path of a dead one. */
static void habit_connect_test(void)
{
	for (int i = 0; i < places.path_count; i++) {
		struct sockaddr_un un;
		socklen_t length = unix_address(places.paths[i], &un);
		if (answers(AF_UNIX, (struct sockaddr *)&un, length))
			end_as_second();
		(void)unlink(places.paths[i]);
	}
	for (int i = 0; i < places.port_count; i++) {
		struct sockaddr_in in4 = {.sin_family = AF_INET,
		        .sin_port = htons((uint16_t)places.ports[i]),
		        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
		struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
		        .sin6_port = in4.sin_port,
		        .sin6_addr = in6addr_loopback};
		if ((places.family != FAMILY_6 &&
		            answers(AF_INET, (struct sockaddr *)&in4, sizeof(in4))) ||
		        (places.family != FAMILY_4 &&
		                answers(AF_INET6, (struct sockaddr *)&in6, sizeof(in6))))
			end_as_second();
	}
}

static const char *path_directory(const char *path)
{
	static char directory[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	snprintf(directory, sizeof(directory), "%s", path);
	*strrchr(directory, '/') = '\0';
	return directory;
}

static void habit_chdir_first(void)
{
	for (int i = 0; i < places.path_count; i++) {
		if (chdir(path_directory(places.paths[i])) < 0)
			legacy_die(4, "chdir");
		places.paths[i] = strrchr(places.paths[i], '/') + 1;
	}
}

static void habit_chdir_back(void)
{
	if (chdir("/") < 0)
		legacy_die(4, "chdir");
}

static void habit_chroot(void)
{
	if (chroot(path_directory(places.paths[0])) < 0 || chdir("/") < 0)
		legacy_die(4, "chroot");
}

static void habit_chmod(void)
{
	for (int i = 0; i < places.path_count; i++)
		if (chmod(places.paths[i], 0660) < 0 || chown(places.paths[i], NOBODY, NOBODY) < 0)
			legacy_die(4, "chmod and chown");
}

/* Binds under another name: the final path never names a socket that does not listen. */
static void habit_temporary_name(void)
{
	for (int i = 0; i < places.path_count; i++) {
		char *name = malloc(strlen(places.paths[i]) + sizeof(".tmp"));
		if (!name)
			legacy_die(4, "malloc");
		places.paths[i] = strcat(strcpy(name, places.paths[i]), ".tmp");
		(void)unlink(name);
	}
}

static void habit_rename(void)
{
	for (int i = 0; i < places.path_count; i++) {
		char *final = strdup(places.paths[i]);
		final[strlen(final) - strlen(".tmp")] = '\0';
		if (rename(places.paths[i], final) < 0)
			legacy_die(4, "rename");
		places.paths[i] = final;
	}
}

/* Keeps a link to the old socket until the new one, which does not listen yet, has its path. */
static void habit_rename_with_backup(void)
{
	char backup[sizeof(((struct sockaddr_un *)NULL)->sun_path) + sizeof(".bak")];
	for (int i = 0; i < places.path_count; i++) {
		int length = (int)(strlen(places.paths[i]) - strlen(".tmp"));
		snprintf(backup, sizeof(backup), "%.*s", length, places.paths[i]);
		char *final = strdup(backup);
		strcat(backup, ".bak");
		(void)unlink(backup);
		if (link(final, backup) < 0 && errno != ENOENT)
			legacy_die(4, "link");
		if (rename(places.paths[i], final) < 0)
			legacy_die(4, "rename");
		(void)unlink(backup);
		places.paths[i] = final;
	}
}

static void unlink_and_exit(int signal)
{
	(void)signal;
	for (int i = 0; i < places.path_count; i++)
		(void)unlink(places.paths[i]);
	_exit(0);
}

static void habit_unlink_at_exit(void)
{
	signal(SIGTERM, unlink_and_exit);
}
