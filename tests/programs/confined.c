/* SPDX-License-Identifier: MIT */
/*
 * Executes a command under what systemd's sandbox directives do by a system call filter.
 *
 *   confined [WHAT]... -- COMMAND...
 *
 *   no-netlink  RestrictAddressFamilies= without AF_NETLINK: socket() says EAFNOSUPPORT
 *   no-exec     MemoryDenyWriteExecute=: no memory becomes executable that was writable
 *   no-pidfd    a filter that is older than pidfds: pidfd_open() says ENOSYS
 *   user        SystemCallFilter=~@privileged @resources: kills; for a launcher that is not root
 *
 * Needs CAP_SYS_ADMIN or no_new_privs.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOAD(field)   BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define EQUAL(k, no)  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, no)
#define HAS(bits, no) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, no)
#define FAIL(error)   BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))
#define ALLOW         BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define FILTER(program)                                       \
	{                                                     \
		sizeof(program) / sizeof(*(program)), program \
	}

static struct sock_filter no_netlink[] = {
        LOAD(nr),
        EQUAL(SYS_socket, 3),
        LOAD(args[0]),
        EQUAL(AF_NETLINK, 1),
        FAIL(EAFNOSUPPORT),
        ALLOW,
};

static struct sock_filter no_exec[] = {
        LOAD(nr),
        EQUAL(SYS_mmap, 4),
        LOAD(args[2]),
        HAS(PROT_WRITE, 6),
        HAS(PROT_EXEC, 5),
        FAIL(EPERM),
        EQUAL(SYS_mprotect, 3),
        LOAD(args[2]),
        HAS(PROT_EXEC, 1),
        FAIL(EPERM),
        ALLOW,
};

static struct sock_filter no_pidfd[] = {
        LOAD(nr),
        EQUAL(SYS_pidfd_open, 1),
        FAIL(ENOSYS),
        ALLOW,
};

static struct sock_filter user[] = {
        LOAD(nr),
#define KILLS(call, left) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, left, 0)
        KILLS(capset, 9),
        KILLS(setpriority, 8),
        KILLS(setfsuid, 7),
        KILLS(setgroups, 6),
        KILLS(setresuid, 5),
        KILLS(setuid, 4),
        KILLS(fchownat, 3),
        KILLS(chroot, 2),
        KILLS(sched_setaffinity, 1),
        ALLOW,
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static const struct {
	const char *name;
	struct sock_fprog program;
} all[] = {
        {"no-netlink", FILTER(no_netlink)},
        {"no-exec", FILTER(no_exec)},
        {"no-pidfd", FILTER(no_pidfd)},
        {"user", FILTER(user)},
};

static void install(const char *name)
{
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (strcmp(all[i].name, name) != 0)
			continue;
		if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &all[i].program) == 0)
			return;
		perror(name);
		exit(1);
	}
	fprintf(stderr, "confined: %s?\n", name);
	exit(2);
}

int main(int argc, char **argv)
{
	int i = 1;

	for (; i < argc && strcmp(argv[i], "--") != 0; i++)
		install(argv[i]);
	if (i + 1 >= argc)
		return 2;
	execvp(argv[i + 1], argv + i + 1);
	perror(argv[i + 1]);
	return 127;
}
