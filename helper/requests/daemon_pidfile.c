/* SPDX-License-Identifier: MIT */
/* Whether a file is the pid file of a newer generation. */
#include "helper/requests/daemon_pidfile.h"

#include <ctype.h>
#include <stdio.h>
#include <sys/stat.h>

#include "helper/kernel/tree.h"

/* The number that a text begins with, and that ends there; 0: none that could be a pid. */
static pid_t parse_pid(const char *text)
{
	long pid = 0;
	while (isspace((unsigned char)*text))
		text++;
	for (; isdigit((unsigned char)*text); text++)
		if ((pid = pid * 10 + (*text - '0')) > INT32_MAX)
			return 0;
	return isalnum((unsigned char)*text) ? 0 : (pid_t)pid;
}

/* The pid in the file that the request names, or that came along; or 0. */
static pid_t read_pid(const struct request *request)
{
	char text[32];
	ssize_t length = paths_read(&request->asker, request->directory_fd,
	        request->name[0] ? request->name : NULL, MOULT_PID_FILE_MOST, text,
	        sizeof(text) - 1);
	if (length < 1)
		return 0;
	text[length] = '\0';
	return parse_pid(text);
}

/* In another pid namespace the same number is another process, or the same in each generation. */
static bool counts_as_we_do(pid_t pid)
{
	char path[40];
	struct stat theirs, ours;
	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/ns/pid", &ours) == 0 &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

bool daemon_pidfile_is_newer(const struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	if (generation == instance->newest || !counts_as_we_do(request->asker.pid))
		return false;
	pid_t pid = read_pid(request);
	if (pid <= 0)
		return false;
	if (pid == getpid()) /* the launcher's own */
		return true;
	for (const struct generation *g = instance->newest; g != generation; g = g->older)
		if (pid != g->keeper && tree_has(g->keeper, pid))
			return tree_lives(pid);
	return false;
}
