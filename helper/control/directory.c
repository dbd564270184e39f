/* SPDX-License-Identifier: MIT */
/*
 * The directory of the control sockets.  A user who may write to it may replace an instance's
 * socket by one of his own, so nobody else may write to it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "helper/base/util.h"
#include "helper/control/protocol.h"

/* The value of an environment variable; NULL: not set, or empty. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/*
 * The first directory of RuntimeDirectory= of a unit (systemd.exec(5)), separated by colons; NULL:
 * none.
 */
static const char *of_the_unit(int *ret_length)
{
	const char *list = variable("RUNTIME_DIRECTORY");

	*ret_length = list ? (int)strcspn(list, ":") : 0;
	return list && list[0] == '/' ? list : NULL;
}

/* False also if it is certain that it cannot be made: a unit with ProtectSystem=strict. */
static bool can_be_written(const char *directory, const char *parent)
{
	return access(directory, W_OK) == 0 || (errno == ENOENT && access(parent, W_OK) == 0);
}

static int find(char *path, size_t size)
{
	const char *chosen = variable("MOULT_RUNTIME_DIR");
	const char *user = variable("XDG_RUNTIME_DIR");
	int given, length;
	const char *unit = of_the_unit(&given);

	if (chosen) {
		/* A relative path would change its meaning with the launcher's working directory */
		if (chosen[0] != '/')
			return -EINVAL;
		length = snprintf(path, size, "%s", chosen);
	} else if (geteuid() == 0 && (!unit || can_be_written("/run/moult", "/run"))) {
		length = snprintf(path, size, "/run/moult");
	} else if (geteuid() != 0 && user && user[0] == '/') {
		length = snprintf(path, size, "%s/moult", user);
	} else if (unit && !(geteuid() != 0 && user)) {
		length = snprintf(path, size, "%.*s/moult", given, unit);
	} else {
		return -ENOENT;
	}
	return length < 0 || (size_t)length >= size ? -ENAMETOOLONG : 0;
}

int control_directory(char *path, size_t size, int create)
{
	struct stat status;
	bool is_mine;
	int result;

	path[0] = '\0';
	result = find(path, size);

	if (result < 0)
		return result;
	if (create && mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(path, &status) < 0) {
		/* Not made yet. -ENOENT would mean that we do not know where the directory is. */
		return create || errno != ENOENT ? -errno : 0;
	}
	if (!S_ISDIR(status.st_mode))
		return -ENOTDIR;
	/* Root may use the commands on another user's instances, but puts no socket of its own there */
	is_mine = status.st_uid == geteuid() || (geteuid() == 0 && !create);
	if (!is_mine || (status.st_mode & (S_IWGRP | S_IWOTH)))
		return -EPERM;
	return create && access(path, W_OK) < 0 ? -errno : 0;
}

void control_directory_explain(int error, const char *path, char *text, size_t size)
{
	const char *user = variable("XDG_RUNTIME_DIR");

	if (error == -EINVAL)
		(void)snprintf(text, size, "MOULT_RUNTIME_DIR=%s is not an absolute path",
		        variable("MOULT_RUNTIME_DIR"));
	else if (error == -ENOENT && !*path && user)
		(void)snprintf(text, size,
		        "XDG_RUNTIME_DIR=%s is not an absolute path, and MOULT_RUNTIME_DIR is not "
		        "set",
		        user);
	else if (error == -ENOENT && !*path)
		(void)snprintf(text, size,
		        "no directory for the control socket: neither XDG_RUNTIME_DIR (most often "
		        "/run/user/%u) nor MOULT_RUNTIME_DIR is set; set one of them to a "
		        "directory of yours, or RuntimeDirectory= in a unit of systemd",
		        (unsigned)geteuid());
	else if (error == -EPERM)
		(void)snprintf(text, size,
		        "control directory %s: must belong to this user, and nobody else may write "
		        "to it",
		        path);
	else if (error == -EROFS || (error == -EACCES && geteuid() == 0))
		(void)snprintf(text, size,
		        "control directory %s: %s; in a unit of systemd, add "
		        "RuntimeDirectory=moult-NAME (not moult: that directory is everybody's, "
		        "and "
		        "would be removed with the unit)",
		        path, strerror(-error));
	else
		(void)snprintf(text, size,
		        "control directory %s: %s; MOULT_RUNTIME_DIR may name another", path,
		        strerror(-error));
}
