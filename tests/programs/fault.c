/* SPDX-License-Identifier: MIT */
/*
 * Makes one system call of a process fail, by ptrace.
 *
 *   fault PID N VARIANT              attaches to a running process
 *   fault run N VARIANT COMMAND...   starts a process, and counts from the end of the loader's work
 *
 * Counts the system calls of the process, not those of its children, that can fail.  The N-th such
 * call is not made and returns an error that fits the call; VARIANT selects one of several errors.
 * Prints "attached PID" at the start.  Prints "CALL ERROR N ARGUMENT ARGUMENT" when the call is
 * reached; the process then runs on without a tracer.  Prints "none COUNT" if SIGTERM comes, or the
 * process ends, first.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

struct fault {
	long call;
	int errors[4]; /* ends with 0; no error at all: this call cannot fail */
};

/* A call that is not in this table fails with ENOMEM. */
static const struct fault faults[] = {
        {SYS_read, {EINTR, EAGAIN, EIO}},
        {SYS_pread64, {EINTR, EIO}},
        {SYS_readv, {EINTR, EAGAIN}},
        {SYS_write, {EAGAIN, ENOSPC, EINTR}},
        {SYS_writev, {EAGAIN, ENOSPC, EINTR}},
        {SYS_sendmsg, {ENOMEM, EAGAIN, EINTR}},
        {SYS_sendto, {ENOMEM, EAGAIN, EINTR}},
        {SYS_recvmsg, {ENOMEM, EAGAIN, EINTR}},
        {SYS_recvfrom, {ENOMEM, EAGAIN, EINTR}},
        {SYS_openat, {EMFILE, ENFILE, ENOMEM}},
        {SYS_openat2, {EMFILE, ENFILE, EAGAIN}},
        {SYS_socket, {EMFILE, ENFILE, ENOMEM}},
        {SYS_socketpair, {EMFILE, ENFILE, ENOMEM}},
        {SYS_accept4, {EMFILE, ENFILE, EAGAIN}},
        {SYS_pipe2, {EMFILE, ENFILE}},
        {SYS_dup, {EMFILE}},
        {SYS_dup3, {EBUSY}},
        {SYS_memfd_create, {EMFILE, ENFILE, ENOMEM}},
        {SYS_signalfd4, {EMFILE, ENFILE}},
        {SYS_epoll_create1, {EMFILE, ENFILE}},
        {SYS_epoll_ctl, {ENOMEM, ENOSPC}},
        {SYS_epoll_pwait, {0}}, /* attaching already causes an EINTR */
        {SYS_epoll_pwait2, {0}},
        {SYS_ppoll, {EINTR, ENOMEM}},
        {SYS_clone, {EAGAIN, ENOMEM}},
        {SYS_clone3, {EAGAIN, ENOMEM}},
        {SYS_pidfd_open, {EMFILE, ENFILE}},
        {SYS_pidfd_getfd, {EMFILE, ENOMEM}},
        {SYS_ftruncate, {ENOSPC, EINTR}},
        {SYS_fallocate, {ENOSPC, EINTR}},
        {SYS_flock, {EINTR, ENOLCK}},
        {SYS_wait4, {EINTR}},
        {SYS_waitid, {EINTR}},
        {SYS_kill, {EAGAIN}},
        {SYS_fcntl, {EMFILE, ENOMEM}},
        {SYS_connect, {EAGAIN, EINTR}},
        {SYS_mkdirat, {ENOSPC, EMFILE}},
        {SYS_linkat, {ENOSPC}},
        {SYS_renameat2, {ENOSPC}},
        {SYS_clock_nanosleep, {EINTR}},
        {SYS_nanosleep, {EINTR}},
        {SYS_close, {EINTR}}, /* is made all the same: on Linux the descriptor is closed */
        {SYS_brk, {0}},       /* libc would use mmap instead */
#ifdef SYS_epoll_wait         /* the calls of older architectures */
        {SYS_open, {EMFILE, ENFILE, ENOMEM}},
        {SYS_epoll_wait, {0}},
        {SYS_poll, {EINTR, ENOMEM}},
        {SYS_fork, {EAGAIN, ENOMEM}},
        {SYS_vfork, {EAGAIN, ENOMEM}},
        {SYS_mkdir, {ENOSPC, EMFILE}},
        {SYS_alarm, {0}},
        {SYS_time, {0}},
        {SYS_arch_prctl, {0}},
#endif
        {SYS_getpid, {0}},
        {SYS_gettid, {0}},
        {SYS_getppid, {0}},
        {SYS_getuid, {0}},
        {SYS_geteuid, {0}},
        {SYS_getgid, {0}},
        {SYS_getegid, {0}},
        {SYS_exit, {0}},
        {SYS_exit_group, {0}},
        {SYS_execve, {0}},
        {SYS_rt_sigreturn, {0}},
        {SYS_rt_sigprocmask, {0}},
        {SYS_rt_sigaction, {0}},
        {SYS_restart_syscall, {0}},
        {SYS_set_robust_list, {0}},
        {SYS_set_tid_address, {0}},
        {SYS_rseq, {0}},
        {SYS_umask, {0}},
        {SYS_futex, {0}}, /* used only to wake */
        {SYS_sched_yield, {0}},
        {SYS_clock_gettime, {0}},
        {SYS_prlimit64, {0}},
        {SYS_uname, {0}},
        {SYS_getrandom, {0}},
        {SYS_munmap, {0}},
};

static volatile sig_atomic_t told_to_end;

static void note_end(int number)
{
	(void)number;
	told_to_end = 1;
}

/* The error for this call; 0: the call cannot fail. */
static int error_for(long call, unsigned variant)
{
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		if (faults[i].call != call)
			continue;
		unsigned count = 0;
		while (count < 4 && faults[i].errors[count])
			count++;
		return count ? faults[i].errors[variant % count] : 0;
	}
	return ENOMEM;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

#ifdef __x86_64__
static void set_call(pid_t pid, long call)
{
	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.orig_rax), call) < 0)
		die("orig_rax");
}

static void set_result(pid_t pid, long result)
{
	if (ptrace(PTRACE_POKEUSER, pid, offsetof(struct user, regs.rax), result) < 0)
		die("rax");
}
#else
static void set_call(pid_t pid, long call)
{
	int number = (int)call;
	struct iovec part = {&number, sizeof(number)};
	if (ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &part) < 0)
		die("system call");
}

static void set_result(pid_t pid, long result)
{
	struct user_regs_struct registers;
	struct iovec part = {&registers, sizeof(registers)};
	if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &part) < 0)
		die("registers");
	registers.regs[0] = (unsigned long long)result;
	if (ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &part) < 0)
		die("registers");
}
#endif

/* Waits for the next stop.  *signal: to be passed on.  False: the process has ended. */
static bool next_stop(pid_t pid, int *signal, bool *ret_call)
{
	int status;
	*ret_call = false;
	if (waitpid(pid, &status, __WALL) < 0) {
		if (errno != EINTR)
			die("waitpid");
		/* SIGTERM: the process has to stop once more, so that it can be detached. */
		ptrace(PTRACE_INTERRUPT, pid, 0, 0);
		if (waitpid(pid, &status, __WALL) < 0)
			die("waitpid");
	}
	if (!WIFSTOPPED(status))
		return false;
	*signal = 0;
	if (WSTOPSIG(status) == (SIGTRAP | 0x80))
		*ret_call = true;
	else if (status >> 16 == 0)
		*signal = WSTOPSIG(status);
	return true;
}

static pid_t run(char **command)
{
	pid_t pid = fork();
	if (pid == 0) {
		raise(SIGSTOP);
		execvp(command[0], command);
		_exit(127);
	}
	int status;
	if (pid < 0 || waitpid(pid, &status, WUNTRACED) < 0)
		die("fork");
	return pid;
}

struct injection {
	pid_t pid;
	unsigned long wanted, count; /* calls that can fail */
	unsigned variant;
	bool counting;
	bool entered; /* the process is inside a call */
	int injected; /* the error of the call, 0: none yet */
	long last;
};

/* The process enters a call.  If it is the wanted call, prevents it. */
static void enter_call(struct injection *i, const struct ptrace_syscall_info *info)
{
	long call = (long)info->entry.nr;
	int error = i->counting ? error_for(call, i->variant) : 0;
	i->counting |= call == SYS_munmap; /* the loader's last one */
	/* A loop of fstat() over all descriptors counts as one call. */
	if (call == SYS_fstat && i->last == SYS_fstat)
		error = 0;
	i->last = call;
	i->entered = true;
	i->count += error != 0;
	if (!error || i->wanted != i->count)
		return;
	i->injected = error;
	printf("%ld %s %lu %#llx %#llx\n", call, strerrorname_np(error), i->count,
	        (unsigned long long)info->entry.args[0], (unsigned long long)info->entry.args[1]);
	if (call != SYS_close)
		set_call(i->pid, -1);
}

/* The process leaves a call.  True: the wanted call has failed now. */
static bool leave_call(struct injection *i)
{
	bool entered = i->entered;
	i->entered = false;
	if (!entered || !i->injected)
		return false;
	set_result(i->pid, -i->injected);
	ptrace(PTRACE_DETACH, i->pid, 0, 0);
	return true;
}

/* Traces until the call has failed or the process has ended.  False: SIGTERM came first. */
static bool trace(struct injection *i)
{
	int signal = 0;
	bool said = false, is_call;
	while (next_stop(i->pid, &signal, &is_call)) {
		if (!said)
			printf("attached %d\n", i->pid);
		said = true;
		if (told_to_end && !(i->injected && i->entered)) {
			printf("none %lu\n", i->count);
			ptrace(PTRACE_DETACH, i->pid, 0, signal);
			return false;
		}
		struct ptrace_syscall_info info;
		if (is_call && ptrace(PTRACE_GET_SYSCALL_INFO, i->pid, sizeof(info), &info) > 0) {
			if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
				enter_call(i, &info);
			else if (info.op == PTRACE_SYSCALL_INFO_EXIT && leave_call(i))
				break;
		}
		ptrace(PTRACE_SYSCALL, i->pid, 0, signal);
	}
	if (!i->injected)
		printf("none %lu\n", i->count);
	return true;
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	bool starts = !strcmp(argv[1], "run");
	struct injection injection = {.pid = starts ? run(argv + 4) : atoi(argv[1]),
	        .wanted = strtoul(argv[2], NULL, 10),
	        .variant = (unsigned)strtoul(argv[3], NULL, 10),
	        .counting = !starts,
	        .last = -1};
	pid_t pid = injection.pid;
	struct sigaction action = {.sa_handler = note_end};
	sigaction(SIGTERM, &action, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) < 0 ||
	        ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
		die("ptrace");
	if (starts)
		kill(pid, SIGCONT);
	if (!trace(&injection) || !starts)
		return 0;
	int status;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		if (told_to_end)
			return 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
