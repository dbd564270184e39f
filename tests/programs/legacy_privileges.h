/* SPDX-License-Identifier: MIT */
/*
 * Part of legacy_daemon.h.  The privileges that the test daemons give up, before or after they
 * bind: uid, capabilities, root directory, namespaces, limits, system calls.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

static void habit_drop_uid(void)
{
	if (getuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		legacy_die(4, "setuid");
}

/* Its root is an empty directory that has been removed: no /proc, no /dev. */
static void habit_empty_root(void)
{
	char path[] = "/tmp/moult-root-XXXXXX";
	if (!mkdtemp(path) || chdir(path) < 0 || rmdir(path) < 0 || chroot(".") < 0)
		legacy_die(4, "chroot");
}

/* Like a container's first process: has another root, and the old root is unmounted. */
static void habit_pivot_root(void)
{
	static const char path[] = "/mnt";
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	        mount("none", path, "tmpfs", 0, NULL) < 0 || chdir(path) < 0 ||
	        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0)
		legacy_die(4, "pivot_root");
}

/* Is uid 0, without any capability. */
static void habit_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0}};
	for (int i = 0; i <= CAP_LAST_CAP; i++)
		prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP, 0,
	        0, 0);
	if (syscall(SYS_capset, &header, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		legacy_die(4, "capset");
}

/* May not write to files, fork, or have more than 64 descriptors. */
static void habit_limits(void)
{
	struct rlimit none = {0, 0}, few = {64, 64};
	if (setrlimit(RLIMIT_FSIZE, &none) < 0 || setrlimit(RLIMIT_NPROC, &none) < 0 ||
	        setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_MEMLOCK, &none) < 0 ||
	        setrlimit(RLIMIT_NOFILE, &few) < 0)
		legacy_die(4, "setrlimit");
}

/* Moves to an empty network namespace.  The listeners stay in the old one. */
static void habit_unshare_network(void)
{
	if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
		legacy_die(4, "unshare");
}

static void habit_unshare_user(void)
{
	if (unshare(CLONE_NEWUSER) < 0)
		legacy_die(4, "unshare");
}

static void end_children(int number)
{
	(void)number;
	kill(-1, SIGKILL);
	_exit(0);
}

/* A child is the first process of a new pid namespace.  The parent stays outside and waits. */
static void habit_unshare_pid(void)
{
	int status;
	pid_t pid = unshare(CLONE_NEWPID) < 0 ? -1 : fork();
	if (pid < 0)
		legacy_die(4, "unshare");
	if (pid > 0) {
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 0);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGTERM, end_children);
	/* Its children get pids that no process outside has. */
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	if (write(fd, "32000", 5) < 0)
		legacy_die(4, "ns_last_pid");
	close(fd);
}

static void habit_all_of_it(void)
{
	gid_t group = NOBODY;
	if (unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS) < 0 ||
	        setgroups(1, &group) < 0)
		legacy_die(4, "unshare");
	habit_limits();
	habit_empty_root();
	habit_drop_uid();
	habit_capabilities();
}

static pid_t pid_before_sandbox; /* getpid() is forbidden afterwards */

/*
 * Installs a filter that allows only the calls that the daemon makes while it serves.  For any
 * other call the process is killed, or the call fails with EPERM (`otherwise`).
 */
static void sandbox(uint32_t otherwise, bool by_prctl)
{
	static const struct {
		const char *style;
		int waits[3];
	} styles[] = {
	        {"epoll", {SYS_epoll_wait, SYS_epoll_ctl, -1}},
	        {"epoll-pwait", {SYS_epoll_pwait, SYS_epoll_ctl, -1}},
	        {"epoll-edge-exclusive", {SYS_epoll_wait, SYS_epoll_ctl, -1}},
	        {"poll", {SYS_poll, -1, -1}},
	        {"ppoll", {SYS_ppoll, -1, -1}},
	        {"select", {SYS_pselect6, SYS_select, -1}},
	        {"single", {-1, -1, -1}},
	};
	int allowed[16] = {SYS_read, SYS_write, SYS_close, SYS_accept, SYS_accept4, SYS_exit_group,
	        SYS_rt_sigreturn, SYS_restart_syscall};
	size_t count = 8, length = 0;
	for (size_t i = 0; i < sizeof(styles) / sizeof(styles[0]); i++)
		for (size_t j = 0; strcmp(styles[i].style, legacy.style) == 0 && j < 3; j++)
			if (styles[i].waits[j] >= 0)
				allowed[count++] = styles[i].waits[j];
	struct sock_filter filter[64];
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
	for (size_t i = 0; i < count; i++) {
		filter[length++] = (struct sock_filter)BPF_JUMP(
		        BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)allowed[i], 0, 1);
		filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	}
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, otherwise);
	struct sock_fprog program = {(unsigned short)length, filter};
	pid_before_sandbox = getpid();
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	        (by_prctl ? prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
	                  : syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) < 0)
		legacy_die(4, "seccomp");
}

static void habit_sandbox_kill(void)
{
	sandbox(SECCOMP_RET_KILL_PROCESS, true);
}

static void habit_sandbox_error(void)
{
	sandbox(SECCOMP_RET_ERRNO | EPERM, false);
}
