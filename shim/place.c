/* SPDX-License-Identifier: MIT */
/* Where the path of a UNIX socket is, and which listener it belongs to. */
#include "shim/place.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "shim/member.h"
#include "shim/raw.h"
#include "shim/scratch.h"

#ifndef SYS_faccessat2
#define SYS_faccessat2 439
#endif

/*
 * Puts the directory part of `path` into *ret_directory, and returns the last component.  NULL on
 * failure; nothing is to be given back then.
 */
static const char *split(const char *path, struct scratch *ret_directory)
{
	size_t length = 0, slash = 0;
	bool any = false;
	for (; path[length]; length++)
		if (path[length] == '/') {
			slash = length;
			any = true;
		}
	const char *name = any ? path + slash + 1 : path;
	if (!*name || length >= PATH_MAX)
		return NULL;
	char *room = scratch_take(ret_directory, length + 2);
	if (!room)
		return NULL;
	size_t end = 0;
	if (any)
		for (; end <= slash; end++)
			room[end] = path[end];
	else
		room[end++] = '.';
	room[end] = '\0';
	return name;
}

int place_open_as(int at, const char *path, char *name, size_t size)
{
	struct scratch directory;
	const char *last = split(path, &directory);
	size_t length = 0;
	long result = -ENAMETOOLONG;
	if (!last)
		return -EINVAL;
	for (; length < size - 1 && last[length]; length++)
		name[length] = last[length];
	name[length] = '\0';
	if (!last[length])
		result = raw(SYS_openat, at, directory.memory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	scratch_give(&directory);
	return (int)result;
}

int place_open(int at, const char *path, struct moult_request *request)
{
	struct sockaddr_un *un = (struct sockaddr_un *)&request->address;
	int directory = place_open_as(at, path, un->sun_path, sizeof(un->sun_path));
	size_t length = 0;
	if (directory < 0)
		return directory;
	while (un->sun_path[length])
		length++;
	un->sun_family = AF_UNIX;
	request->address_length = (uint32_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	return directory;
}

const char *place_of(const struct sockaddr *address, socklen_t length, char *room)
{
	const struct sockaddr_un *un = (const void *)address;
	size_t most = length - offsetof(struct sockaddr_un, sun_path), n = 0;
	if (length <= offsetof(struct sockaddr_un, sun_path) || length > sizeof(*un) ||
	        !un->sun_path[0])
		return NULL;
	for (; n < most && un->sun_path[n]; n++)
		room[n] = un->sun_path[n];
	room[n] = '\0';
	return room;
}

bool place_is_possible(void)
{
	return member_board && atomic_load_explicit(&member_board->paths, memory_order_relaxed);
}

static int find(uint64_t device, uint64_t inode)
{
	const struct moult_board *board = member_board;
	uint32_t count = atomic_load(&board->listeners);
	for (uint32_t i = 0; i < count && i < MOULT_LISTENERS; i++)
		if (atomic_load(&board->gate[i].path_inode) == inode &&
		        atomic_load(&board->gate[i].path_device) == device)
			return (int)i;
	return -1;
}

static bool look_at(int at, const char *path, bool follow, struct stat *ret_status)
{
	return path &&
	       raw(SYS_newfstatat, at, path, ret_status, follow ? 0 : AT_SYMLINK_NOFOLLOW) >= 0 &&
	       S_ISSOCK(ret_status->st_mode);
}

bool place_is_socket(int at, const char *path)
{
	struct stat status;
	return look_at(at, path, false, &status);
}

int place_listener(int at, const char *path, bool follow)
{
	struct stat status;
	if (!place_is_possible() || !look_at(at, path, follow, &status))
		return -1;
	return find(status.st_dev, status.st_ino);
}

int place_listener_at(const struct sockaddr *address, socklen_t length)
{
	char room[PLACE_ROOM];
	const struct sockaddr_un *un = (const void *)address;
	if (!place_is_possible() || !address || length <= sizeof(sa_family_t) ||
	        length > sizeof(*un) || un->sun_family != AF_UNIX)
		return -1;
	const char *path = place_of(address, length, room);
	if (path)
		return place_listener(AT_FDCWD, path, true);
	return find(MOULT_ABSTRACT, moult_hash(MOULT_HASH_START, un->sun_path,
	                                    length - offsetof(struct sockaddr_un, sun_path)));
}

bool place_is_writable(int at, const char *path)
{
	struct scratch directory;
	if (!split(path, &directory))
		return false;
	long result = raw(SYS_faccessat2, at, directory.memory, W_OK | X_OK, AT_EACCESS);
	scratch_give(&directory);
	return result >= 0 || result == -ENOSYS;
}

bool place_may_write(int at, const char *path)
{
	long result = raw(SYS_faccessat2, at, path, W_OK, AT_EACCESS);
	return result >= 0 || result == -ENOSYS;
}

static bool is_small(const struct stat *file)
{
	return S_ISREG(file->st_mode) && file->st_size <= MOULT_PID_FILE_MOST;
}

bool place_is_small(int fd)
{
	struct stat status;
	return raw(SYS_fstat, fd, &status) >= 0 && is_small(&status) && status.st_size > 0;
}

/*
 * In a directory like /tmp (sticky) only the owner of the directory and the owner of the file may
 * remove a file.
 */
static bool is_held_back(int at, const char *directory, const struct stat *file)
{
	struct stat status;
	uid_t user = (uid_t)raw(SYS_geteuid);
	return raw(SYS_newfstatat, at, directory, &status, 0) < 0 ||
	       ((status.st_mode & S_ISVTX) && user && user != file->st_uid &&
	               user != status.st_uid);
}

static bool is_removable(int at, const char *path, const struct stat *file)
{
	struct scratch directory;
	if (!split(path, &directory))
		return false;
	bool held_back = is_held_back(at, directory.memory, file);
	scratch_give(&directory);
	return !held_back && place_is_writable(at, path);
}

enum place_file place_file(int at, const char *path, bool remove)
{
	struct stat status;
	long result = path ? raw(SYS_newfstatat, at, path, &status, AT_SYMLINK_NOFOLLOW) : -EFAULT;
	if (result < 0)
		return result == -ENOENT ? PLACE_NOTHING : PLACE_OTHER;
	if (!is_small(&status) || (remove && !is_removable(at, path, &status)))
		return PLACE_OTHER;
	return status.st_size > 0 ? PLACE_SMALL : PLACE_EMPTY;
}
