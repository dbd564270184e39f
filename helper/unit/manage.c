/* SPDX-License-Identifier: MIT */
/* What systemd is asked to do. */
#include "helper/unit/manage.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "helper/unit/systemctl.h"
#include "helper/unit/unit.h"

int manage_reload(void)
{
	const char *words[] = {"daemon-reload", NULL};

	return systemctl_run(words);
}

bool manage_restart(const char *id)
{
	const char *words[] = {"restart", "--", id, NULL};

	return systemctl_run(words) == 0;
}

bool manage_is_moult(const char *id)
{
	char pid[32], link[64], path[PATH_MAX];
	ssize_t length;

	if (!unit_property(id, "MainPID", pid, sizeof(pid)) || atol(pid) <= 0)
		return false;
	(void)snprintf(link, sizeof(link), "/proc/%ld/exe", atol(pid));
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return false;
	path[length] = '\0';
	/* " (deleted)" follows when moult itself has been replaced */
	return !strncmp(path_base(path), "moult", strlen("moult")) &&
	       strchr(" ", path_base(path)[strlen("moult")]);
}
