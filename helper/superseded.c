/* SPDX-License-Identifier: MIT */
/* Generations that a newer one is beside, and the pid file that is the newer one's by now. */
#include "helper/superseded.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "helper/pidfile.h"
#include "helper/tree.h"

void superseded_publish(struct instance *instance, bool starting)
{
	uint32_t older = starting ? MOULT_SUCCEEDED : MOULT_SUPERSEDED;
	for (struct generation *g = instance->newest; g; g = g->older)
		atomic_store(&g->board->superseded, g == instance->newest ? MOULT_NEWEST : older);
}

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

/*
 * The pid in the file, or 0.  What `at` refers to is looked at first, and then opened: no device, pipe
 * or link of the daemon's is.
 */
static pid_t read_pid(int at)
{
	char path[40], text[32] = "";
	struct stat status;
	if (fstat(at, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size < 1 ||
	        status.st_size > MOULT_PID_FILE_MOST)
		return 0;
	if (pidfile_is(&status))
		return getpid();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", at);
	CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 1)
		return 0;
	return parse_pid(text);
}

/* A descriptor that can do nothing but say what is there; 0, no pid, if nothing is. */
static pid_t read_pid_at(int directory, const char *name)
{
	CLEANUP(fd_close) int at = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	return at < 0 ? 0 : read_pid(at);
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

static bool lives(pid_t pid)
{
	char state;
	pid_t parent;
	return tree_stat(pid, &state, &parent) == 0 && state != 'Z' && state != 'X';
}

bool superseded_has_file(const struct instance *instance, const struct generation *generation,
        const struct request *request)
{
	int fd = request->directory_fd;
	if (generation == instance->newest || !counts_as_we_do(request->peer.pid))
		return false;
	pid_t pid = request->name[0] ? read_pid_at(fd, request->name) : read_pid(fd);
	if (pid <= 0)
		return false;
	if (pid == getpid()) /* the launcher's own */
		return true;
	for (const struct generation *g = instance->newest; g != generation; g = g->older)
		if (pid != g->keeper && tree_has(g->keeper, pid))
			return lives(pid);
	return false;
}
