/* SPDX-License-Identifier: MIT */
/* Whether a file is the pid file of a newer generation. */
#include "helper/requests/daemon_pidfile.h"

#include <ctype.h>
#include <unistd.h>

#include "helper/kernel/namespace.h"
#include "helper/kernel/tree.h"

/*
 * The number that the text begins with; 0: there is none, a letter follows, or it is too large for
 * a pid.
 */
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

/* The pid that the file of the request begins with; 0: none. */
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

bool daemon_pidfile_is_newer(const struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	/* In another pid namespace the file's number may be another process here. */
	if (generation == instance->newest ||
	        namespace_is_shared(request->asker.pid, "ns/pid") != 1)
		return false;
	pid_t pid = read_pid(request);
	if (pid <= 0)
		return false;
	if (pid == getpid()) /* the file is the launcher's own: launcher_pidfile.h */
		return true;
	for (const struct generation *g = instance->newest; g != generation; g = g->older)
		if (pid != g->keeper && tree_has(g->keeper, pid))
			return tree_lives(pid);
	return false;
}
