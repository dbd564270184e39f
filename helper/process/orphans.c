/* SPDX-License-Identifier: MIT */
/* Processes of a daemon whose keeper has been killed. */
#include "helper/process/orphans.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/kernel/owner.h"
#include "helper/kernel/tree.h"

/*
 * The launcher's own children are forks of the launcher, and so are keepers.  An ordinary user may
 * not look at these, since they are not dumpable, but at what a daemon has executed.
 */
static bool executes_another_program(pid_t pid)
{
	char path[40];
	struct stat theirs, ours;
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	return stat(path, &theirs) == 0 && stat("/proc/self/exe", &ours) == 0 &&
	       (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino);
}

/* A pid of a child is not used again before the launcher has reaped the child. */
static bool is_orphan(pid_t pid, pid_t except)
{
	char state;
	pid_t parent;
	return pid != except && tree_stat(pid, &state, &parent) == 0 && state != 'Z' &&
	       parent == getpid() && executes_another_program(pid);
}

static size_t kill_once(pid_t except)
{
	struct pid_set all = {0};
	size_t count = 0;
	(void)tree_list_some(getpid(), &all);
	for (size_t i = 0; i < all.count; i++)
		if (is_orphan(all.pids[i], except)) {
			(void)tree_signal(all.pids[i], SIGKILL);
			(void)owner_signal(-1, all.pids[i], SIGKILL);
			count++;
		}
	pid_set_deinit(&all);
	return count;
}

size_t orphans_end(pid_t except, nanoseconds patience)
{
	nanoseconds deadline = after(patience);
	size_t left;
	while ((left = kill_once(except)) && now() < deadline)
		nap(MILLISECOND);
	return left;
}
