/* SPDX-License-Identifier: MIT */
/*
 * Kills or stops a process at one of its system calls, by ptrace.
 *
 *   stopper PID NUMBER kill|stop|count [futex|wait]
 *
 * Counts the system calls of the process that may change something, but not those that only look or
 * wait.  With "futex" counts futex() only; the launcher makes one such call for each change of a
 * gate.  With "wait" counts the waits of an event loop only.  At call NUMBER (from 1), "kill" sends SIGKILL, and the call is not made; "stop" sends
 * SIGSTOP, and the process makes the call before it stops.  "count" goes on until SIGTERM.  Prints
 * "seized" at the start, and at the end "hit CALL", "made COUNT" or "gone" (the process has ended).
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

static volatile sig_atomic_t ended;

static void end(int number)
{
	(void)number;
	ended = 1;
}

static bool only_looks(unsigned long long call)
{
	static const int looks[] = {SYS_epoll_pwait, SYS_epoll_pwait2, SYS_read, SYS_pread64,
	        SYS_openat, SYS_close, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_getdents64,
	        SYS_readlinkat, SYS_lseek, SYS_getpid, SYS_getppid, SYS_clock_gettime, SYS_brk,
	        SYS_getsockopt, SYS_sched_yield, SYS_faccessat, SYS_recvfrom, SYS_prlimit64,
	        SYS_dup,
#ifdef SYS_readlink
	        SYS_readlink, SYS_open, SYS_stat, SYS_lstat, SYS_access, SYS_epoll_wait,
#endif
	        SYS_rt_sigprocmask, SYS_geteuid, SYS_getuid, SYS_munmap, SYS_uname};
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (call == (unsigned long long)looks[i])
			return true;
	return false;
}

static bool counts(unsigned long long call, const char *only)
{
	if (!only)
		return !only_looks(call);
	if (!strcmp(only, "futex"))
		return call == SYS_futex;
	return call == SYS_epoll_pwait || call == SYS_epoll_pwait2;
}

static void die(const char *what)
{
	fprintf(stderr, "stopper: %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	if (argc != 4 && argc != 5)
		return 2;
	pid_t pid = (pid_t)atol(argv[1]);
	long wanted = atol(argv[2]), made = 0;
	bool kills = !strcmp(argv[3], "kill"), stops = !strcmp(argv[3], "stop");
	struct sigaction action = {.sa_handler = end}; /* interrupts waitpid() */
	sigaction(SIGTERM, &action, NULL);
	if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD) < 0 ||
	        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) < 0)
		die("ptrace");
	int status;
	bool said = false;
	while (!ended) {
		if (waitpid(pid, &status, __WALL) < 0) {
			if (errno == EINTR)
				continue;
			die("waitpid");
		}
		if (!WIFSTOPPED(status)) {
			printf("gone\n");
			return 0;
		}
		long number = 0;
		bool call = WSTOPSIG(status) == (SIGTRAP | 0x80);
		if (!call && status >> 16 == 0)
			number = WSTOPSIG(status); /* a signal to pass on */
		struct ptrace_syscall_info info = {0};
		if (call && ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
		        info.op == PTRACE_SYSCALL_INFO_ENTRY && counts(info.entry.nr, argv[4]) &&
		        ++made == wanted && (kills || stops)) {
			kill(pid, kills ? SIGKILL : SIGSTOP);
			if (stops)
				ptrace(PTRACE_DETACH, pid, NULL, NULL);
			printf("hit %llu\n", (unsigned long long)info.entry.nr);
			return 0;
		}
		if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)number) < 0 && errno != ESRCH)
			die("PTRACE_SYSCALL");
		if (!said) {
			printf("seized\n");
			fflush(stdout);
			said = true;
		}
	}
	/* The process goes on when its tracer exits. */
	printf("made %ld\n", made);
	return 0;
}
