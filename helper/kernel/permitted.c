/* SPDX-License-Identifier: MIT */
/* System calls for which a sandbox may kill the process. */
#include "helper/kernel/permitted.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LANDLOCK_CREATE_RULESET = 444 };

static bool forbidden[PERMITTED_CALLS];

/* Each changes nothing but this process, or nothing at all.  Whether it succeeds does not matter. */
static void try_one(enum permitted call)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

	switch (call) {
	case PERMITTED_CAPSET:
		(void)syscall(SYS_capget, &header, sets);
		(void)syscall(SYS_capset, &header, sets);
		break;
	case PERMITTED_SETPRIORITY: (void)setpriority(PRIO_PROCESS, 0, 0); break;
	case PERMITTED_IDENTITY:
		(void)setfsgid((gid_t)-1);
		(void)setfsuid((uid_t)-1);
		(void)setgroups(0, NULL);
		(void)!setresgid((gid_t)-1, (gid_t)-1, (gid_t)-1);
		(void)!setresuid((uid_t)-1, (uid_t)-1, (uid_t)-1);
		break;
	case PERMITTED_CHOWN: (void)!fchownat(-1, "", 0, 0, AT_EMPTY_PATH); break;
	case PERMITTED_LANDLOCK: (void)syscall(LANDLOCK_CREATE_RULESET, NULL, 0, 0); break;
	case PERMITTED_CALLS: break;
	}
}

void permitted_try(void)
{
	if (prctl(PR_GET_SECCOMP) != SECCOMP_MODE_FILTER)
		return;
	for (int call = 0; call < PERMITTED_CALLS; call++) {
		int status = 0;
		pid_t pid = fork();

		if (pid == 0) {
			(void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
			(void)signal(SIGSYS, SIG_DFL);
			try_one((enum permitted)call);
			_exit(0);
		}
		while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		forbidden[call] = pid > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	}
}

bool permitted(enum permitted call)
{
	return !forbidden[call];
}
