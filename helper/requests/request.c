/* SPDX-License-Identifier: MIT */
/* One request of a daemon's process, as a checked value. */
#include "helper/requests/request.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "helper/base/socket_option.h"

enum role { NOTHING, SOCKET, DIRECTORY, FILE_OR_DIRECTORY };
enum meaning { NO_ADDRESS, ADDRESS, PLACE, PLACE_OR_NONE };
enum index { NO_LISTENER, LISTENER, ANY_LISTENER };

/* The descriptors and fields of each verb. */
static const struct shape {
	enum role first, second;
	bool second_needed;
	enum meaning address;
	enum index listener;
} shapes[] = {
        [MOULT_HELLO] = {NOTHING, NOTHING, false, NO_ADDRESS, NO_LISTENER},
        [MOULT_SLOT] = {NOTHING, NOTHING, false, NO_ADDRESS, NO_LISTENER},
        [MOULT_BIND] = {SOCKET, DIRECTORY, false, ADDRESS, NO_LISTENER},
        [MOULT_LISTEN] = {SOCKET, NOTHING, false, NO_ADDRESS, ANY_LISTENER},
        [MOULT_CLOSED] = {SOCKET, NOTHING, false, NO_ADDRESS, LISTENER},
        [MOULT_SHUT] = {SOCKET, NOTHING, false, NO_ADDRESS, LISTENER},
        [MOULT_TEMPLATE] = {SOCKET, NOTHING, false, NO_ADDRESS, LISTENER},
        [MOULT_CONNECTED] = {SOCKET, NOTHING, false, NO_ADDRESS, LISTENER},
        [MOULT_BIND_BESIDE] = {SOCKET, NOTHING, false, ADDRESS, NO_LISTENER},
        [MOULT_CALLING] = {SOCKET, NOTHING, false, ADDRESS, NO_LISTENER},
        [MOULT_UNLINKED] = {DIRECTORY, NOTHING, false, PLACE, LISTENER},
        [MOULT_MOVED] = {DIRECTORY, SOCKET, false, PLACE, ANY_LISTENER},
        [MOULT_REPLACE] = {DIRECTORY, DIRECTORY, true, PLACE, LISTENER},
        [MOULT_REMOVED] = {FILE_OR_DIRECTORY, NOTHING, false, PLACE_OR_NONE, NO_LISTENER},
};

/* ---- descriptors ---- */

static bool look_at_socket(struct request *request, int fd, const struct statx *status)
{
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	if (!S_ISSOCK(status->stx_mode) || !status->stx_ino || request->socket)
		return false;
	request->socket = status->stx_ino;
	request->socket_fd = fd;
	/*
	 * The file of a UNIX socket, opened by O_PATH, is S_ISSOCK too, and has any inode number
	 * that its file system likes.  It has no socket options.
	 */
	request->family = socket_option(fd, SOL_SOCKET, SO_DOMAIN);
	if (request->family < 0)
		return false;
	request->is_known = identity_of(fd, &request->identity) == 0;
	request->reuseport = socket_option(fd, SOL_SOCKET, SO_REUSEPORT) == 1;
	request->reuseaddr = socket_option(fd, SOL_SOCKET, SO_REUSEADDR) == 1;
	request->has_peer = getpeername(fd, (struct sockaddr *)&peer, &length) == 0;
	int flags = fcntl(fd, F_GETFL);
	request->nonblock = flags >= 0 && (flags & O_NONBLOCK);
	return true;
}

/* Only a descriptor opened by O_PATH: closing it never waits for a file system. */
static bool look_at_file(struct request *request, int fd, const struct statx *status, bool other)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0 || !(flags & O_PATH) || S_ISLNK(status->stx_mode))
		return false;
	*(other ? &request->other_fd : &request->directory_fd) = fd;
	return true;
}

static bool look_at(struct request *request, int fd, enum role role, bool second)
{
	struct statx status;
	/* Without asking the file system, which may be the daemon's own (FUSE) and never answer. */
	if (role == NOTHING || statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC,
	                               STATX_TYPE | STATX_INO, &status) < 0)
		return false;
	switch (role) {
	case NOTHING: break;
	case SOCKET: return look_at_socket(request, fd, &status);
	case DIRECTORY:
		return S_ISDIR(status.stx_mode) &&
		       look_at_file(request, fd, &status, second && request->directory_fd >= 0);
	case FILE_OR_DIRECTORY:
		return (S_ISDIR(status.stx_mode) || S_ISREG(status.stx_mode)) &&
		       look_at_file(request, fd, &status, false);
	}
	return false;
}

/* ---- addresses ---- */

/* Copies a name, if it can only mean a file in its own directory. */
static bool name_decode(const char *from, size_t size, char *ret_name)
{
	size_t length = strnlen(from, size);
	if (!length || length >= MOULT_NAME_ROOM || memchr(from, '/', length))
		return false;
	memcpy(ret_name, from, length);
	ret_name[length] = '\0';
	return strcmp(ret_name, ".") != 0 && strcmp(ret_name, "..") != 0;
}

static bool place_decode(const struct moult_request *from, struct request *request)
{
	const struct sockaddr_un *un = (const void *)&from->address;
	size_t start = offsetof(struct sockaddr_un, sun_path);
	return from->address_length > start && from->address_length <= sizeof(*un) &&
	       un->sun_family == AF_UNIX &&
	       name_decode(un->sun_path, from->address_length - start, request->name);
}

/* The address that bind() or connect() was called with, if it suits the socket. */
static bool address_decode(const struct moult_request *from, struct request *request)
{
	if (!request->is_known)
		return false;
	if (identity_set_address(&request->identity, &from->address, from->address_length) < 0)
		return false;
	if (!identity_is_path(&request->identity))
		return request->directory_fd < 0;
	return request->verb == MOULT_BIND && request->directory_fd >= 0 &&
	       place_decode(from, request);
}

static bool decode_address(
        const struct moult_request *from, enum meaning meaning, struct request *request)
{
	switch (meaning) {
	case NO_ADDRESS: return from->address_length == 0;
	case ADDRESS: return address_decode(from, request);
	case PLACE_OR_NONE:
		if (from->address_length == 0)
			return true;
		return place_decode(from, request);
	case PLACE: return place_decode(from, request);
	}
	return false;
}

/* ---- the whole request ---- */

static bool decode_fds(
        const struct shape *shape, const int *fds, size_t count, struct request *request)
{
	size_t least = (shape->first != NOTHING) + (size_t)shape->second_needed;
	size_t most = (size_t)(shape->first != NOTHING) + (shape->second != NOTHING);
	if (count < least || count > most)
		return false;
	return (count < 1 || look_at(request, fds[0], shape->first, false)) &&
	       (count < 2 || look_at(request, fds[1], shape->second, true));
}

int request_decode(const void *bytes, size_t length, const int *fds, size_t fd_count,
        struct request *ret_request)
{
	struct moult_request from;
	struct request request = {.socket_fd = -1, .directory_fd = -1, .other_fd = -1};
	if (length >= sizeof(from.contract)) {
		memcpy(&from.contract, bytes, sizeof(from.contract));
		if (from.contract != MOULT_CONTRACT)
			return -EPROTO;
	}
	if (length != sizeof(from))
		return -EBADMSG;
	memcpy(&from, bytes, sizeof(from));
	if (from.verb == 0 || from.verb >= sizeof(shapes) / sizeof(shapes[0]))
		return -EBADMSG;
	const struct shape *shape = &shapes[from.verb];
	request.verb = (enum moult_verb)from.verb;
	request.generation = from.generation;
	memcpy(request.token, from.token, sizeof(request.token));
	request.listener = from.listener;
	request.backlog = from.backlog;
	bool has_listener = from.listener >= 0 && from.listener < MOULT_LISTENERS;
	if (!has_listener && (from.listener != -1 || shape->listener == LISTENER))
		return -EBADMSG;
	if (has_listener && shape->listener == NO_LISTENER)
		return -EBADMSG;
	if (!decode_fds(shape, fds, fd_count, &request) ||
	        !decode_address(&from, shape->address, &request))
		return -EBADMSG;
	/* A process that names a listener must have its socket. */
	if (request.verb == MOULT_MOVED && has_listener != (request.socket_fd >= 0))
		return -EBADMSG;
	if (request.verb == MOULT_REPLACE &&
	        !name_decode(from.other, sizeof(from.other), request.other))
		return -EBADMSG;
	if (request.verb == MOULT_LISTEN && request.is_known &&
	        identity_of_bound(fds[0], &request.identity) < 0)
		return -EBADMSG;
	*ret_request = request;
	return 0;
}
