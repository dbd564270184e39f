/* SPDX-License-Identifier: MIT */
/* What the launcher may do here, found out by trying it. */
#include "helper/lifecycle/abilities.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/base/close.h"
#include "helper/base/log.h"
#include "helper/base/util.h"
#include "helper/kernel/diag.h"
#include "helper/kernel/owner.h"
#include "helper/kernel/permitted.h"
#include "helper/process/confine.h"

enum { STRANGER = 65534, STRANGER_PATIENCE_MS = 1000 };

static bool is_blind;

bool abilities_see_all(void)
{
	return !is_blind;
}

/* ---- the list of sockets ---- */

static void try_diag(void)
{
	const char *module = NULL;
	int result = diag_try(&module);
	if (result == 0)
		return;
	if (access("/proc/self/net/tcp", R_OK) < 0)
		log_error("sandbox: neither sock_diag (%s) nor /proc/net can be read: connections "
		          "cannot be counted, and every drain lasts until its deadline",
		        strerror(-result));
	else if (module)
		log_notice("sandbox: the kernel has no %s, so connections are counted from "
		           "/proc/net, which takes longer; load the modules tcp_diag, udp_diag and "
		           "unix_diag",
		        module);
	else
		log_notice("sandbox: no netlink socket (%s), so connections are counted from "
		           "/proc/net, which takes longer; add AF_NETLINK to "
		           "RestrictAddressFamilies= of the unit",
		        strerror(-result));
}

/* ---- processes of another user ---- */

/* Becomes a process such as a daemon's that has changed its user; ends when `hold` is closed. */
static _Noreturn void be_stranger(int hold, int said)
{
	char byte = 'y';
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	confine_leave_memory();
	close_all_but(STDERR_FILENO + 1, hold, said);
	(void)setgroups(0, NULL);
	if (setresgid(STRANGER, STRANGER, STRANGER) < 0 ||
	        setresuid(STRANGER, STRANGER, STRANGER) < 0)
		_exit(1);
	(void)prctl(PR_SET_DUMPABLE, 0);
	if (write(said, &byte, 1) == 1)
		(void)!read(hold, &byte, 1);
	_exit(0);
}

struct stranger {
	pid_t pid;
	int hold;    /* its end is the stranger's end */
	int its_end; /* a number of a descriptor that the stranger has open */
};

/* False: there can be no process of another user, or the trial failed. */
static bool stranger_start(struct stranger *stranger)
{
	int hold[2], said[2];
	char byte;
	*stranger = (struct stranger){.pid = -1, .hold = -1};
	if (pipe2(hold, O_CLOEXEC) < 0)
		return false;
	if (pipe2(said, O_CLOEXEC) < 0) {
		close(hold[0]);
		close(hold[1]);
		return false;
	}
	pid_t pid = fork();
	if (pid == 0)
		be_stranger(hold[0], said[1]);
	close(hold[0]);
	close(said[1]);
	struct pollfd answer = {.fd = said[0], .events = POLLIN};
	bool lives = pid > 0 && poll(&answer, 1, STRANGER_PATIENCE_MS) > 0 &&
	             read(said[0], &byte, 1) == 1;
	close(said[0]);
	*stranger = (struct stranger){.pid = pid, .hold = hold[1], .its_end = hold[0]};
	return lives;
}

/* A stranger that does not end is reaped by the supervisor later. */
static void stranger_end(const struct stranger *stranger)
{
	nanoseconds deadline = after(STRANGER_PATIENCE_MS * MILLISECOND);
	if (stranger->hold >= 0)
		close(stranger->hold);
	while (stranger->pid > 0 && waitpid(stranger->pid, NULL, WNOHANG) == 0 && now() < deadline)
		nap(MILLISECOND / 5);
}

static void try_signals(const struct stranger *stranger)
{
	uid_t uid;
	if (kill(stranger->pid, 0) == 0 || errno != EPERM)
		return;
	bool as_user = owner_signal(-1, stranger->pid, 0) == 0;
	(void)owner_was_refused(&uid);
	if (as_user)
		log_notice("sandbox: no CAP_KILL, so processes of other users are signalled as "
		           "their user; add CAP_KILL to CapabilityBoundingSet= of the unit");
	else
		log_error("sandbox: no CAP_KILL, so a daemon that changes its user cannot be "
		          "stopped; add CAP_KILL to CapabilityBoundingSet= of the unit");
}

static void try_looks(const struct stranger *stranger)
{
	char path[64], target[64];
	snprintf(path, sizeof(path), "/proc/%d/stat", stranger->pid);
	if (access(path, R_OK) < 0) {
		is_blind = true;
		log_error("sandbox: /proc hides processes of other users, so a daemon that changes "
		          "its user cannot be upgraded; remove ProtectProc= from the unit, or add "
		          "CAP_SYS_PTRACE to CapabilityBoundingSet=");
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", stranger->pid, stranger->its_end);
	if (readlink(path, target, sizeof(target)) >= 0)
		return;
	is_blind = true;
	log_notice("sandbox: no CAP_SYS_PTRACE, so the connections of a daemon that changes its "
	           "user are counted as \"about\", and an old generation may stay longer than its "
	           "clients; add CAP_SYS_PTRACE to CapabilityBoundingSet= of the unit, or to the "
	           "capabilities of the container");
}

static void try_others(void)
{
	struct stranger stranger;
	if (geteuid() != 0 || !permitted(PERMITTED_IDENTITY))
		return;
	if (stranger_start(&stranger)) {
		try_signals(&stranger);
		try_looks(&stranger);
	}
	stranger_end(&stranger);
}

/* ---- all ---- */

static void try_pidfd(void)
{
	CLEANUP(fd_close) int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (fd < 0)
		log_notice("sandbox: no pidfd (%s), so signals go to pids; allow pidfd_open and "
		           "pidfd_send_signal in SystemCallFilter= of the unit",
		        strerror(errno));
}

void abilities_try(void)
{
	try_diag();
	try_pidfd();
	try_others();
}
