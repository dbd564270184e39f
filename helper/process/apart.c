/* SPDX-License-Identifier: MIT */
/*
 * A process for one piece of work.
 *
 * The child is a copy of the launcher, so it begins by giving up what the launcher has.  It closes
 * the descriptors first, because a child that hangs in the kernel keeps them open for good.
 */
#include "helper/process/apart.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#if __has_include(<linux/landlock.h>)
#include <linux/landlock.h>
#endif

#include "helper/base/close.h"
#include "helper/base/message.h"
#include "helper/kernel/permitted.h"
#include "helper/process/confine.h"

enum {
	MEMORY_MAX = 256 * 1024 * 1024,
	CPU_SECONDS = 5,
	/* How long a child may take to exit after its report. */
	END_MS = 100,
};

/* ---- what the child gives up ---- */

static void limit(int resource, rlim_t most)
{
	struct rlimit both = {most, most}, now_is;

	if (getrlimit(resource, &now_is) == 0 && now_is.rlim_max < most)
		both = (struct rlimit){now_is.rlim_max, now_is.rlim_max};
	(void)setrlimit(resource, &both);
}

/* True: from now on no file can be changed, made, removed or executed. */
static bool forbid_changes(void)
{
#if defined(LANDLOCK_CREATE_RULESET_VERSION) && defined(SYS_landlock_create_ruleset)
	struct landlock_ruleset_attr rules = {
	        .handled_access_fs = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
	                             LANDLOCK_ACCESS_FS_REMOVE_DIR |
	                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
	                             LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
	                             LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
	                             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM};
	CLEANUP(fd_close) int fd = -1;

	if (!permitted(PERMITTED_LANDLOCK))
		return false;
	/* The first version of the kernel's struct has this field only. */
	fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof rules.handled_access_fs, 0);
	return fd >= 0 && syscall(SYS_landlock_restrict_self, fd, 0) == 0;
#else
	return false;
#endif
}

/*
 * The system calls for looking at files, in glibc and in musl, and for looking up users, as far as
 * that needs no socket.  All others fail with ENOSYS, which libraries expect.
 */
static const unsigned short calls[] = {SYS_read, SYS_readv, SYS_pread64, SYS_close, SYS_fstat,
        SYS_newfstatat, SYS_statx, SYS_lseek, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_mremap,
        SYS_brk, SYS_madvise, SYS_futex, SYS_getrandom, SYS_fcntl, SYS_readlinkat, SYS_getcwd,
        SYS_faccessat, 439 /* faccessat2 */, SYS_statfs, SYS_fstatfs, SYS_getxattr, SYS_fgetxattr,
        SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid, SYS_getpid, SYS_gettid, SYS_clock_gettime,
        SYS_sendmsg, SYS_rt_sigprocmask, SYS_rt_sigreturn, SYS_exit, SYS_exit_group,
#ifdef SYS_open /* the calls of older architectures */
        SYS_stat, SYS_lstat, SYS_access, SYS_readlink
#endif
};

/* The calls that open files, and which of their arguments has the flags. */
static const struct confine_open opens[] = {
        {SYS_openat, 2},
#ifdef SYS_open
        {SYS_open, 1},
#endif
};

/* `may_resolve`: also openat2, whose flags are in memory, where the filter cannot see them. */
static void filter_calls(bool may_resolve)
{
	unsigned short all[COUNT(calls) + 1];

	memcpy(all, calls, sizeof calls);
	all[COUNT(calls)] = 437; /* openat2 */
	confine_calls(all, COUNT(calls) + may_resolve, opens, COUNT(opens), ENOSYS);
}

static void give_up_everything(const struct apart *apart, int out)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	close_all_but(0, out, apart->keep);
	limit(RLIMIT_CORE, 0);
	(void)prctl(PR_SET_DUMPABLE, 0);
	limit(RLIMIT_CPU, CPU_SECONDS);
	limit(RLIMIT_FSIZE, 0);
	if (IS_SANITISED)
		return;
	limit(RLIMIT_AS, MEMORY_MAX);
	/* They let root read any file, and find out what root could execute. */
	(void)confine_capabilities(1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH);
	/* Without it an unprivileged process may use neither Landlock nor a filter. */
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
		filter_calls(forbid_changes());
}

/* ---- the report ---- */

static _Noreturn void child(const struct apart *apart, int out)
{
	_Alignas(max_align_t) char report[APART_REPORT_MAX] = {0};
	int pinned = -1;

	confine_leave_memory();
	give_up_everything(apart, out);
	apart->work(apart->context, report, &pinned);
	(void)message_send(out, report, apart->size, &pinned, pinned >= 0, 0);
	_exit(0);
}

/*
 * Takes a descriptor opened by O_PATH.  The work sends no other one unless it is under foreign
 * control.
 */
static void take_pinned(struct msghdr *message, int *ret_pinned)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd, flags;

	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	        header->cmsg_len != CMSG_LEN(sizeof fd))
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof fd);
	flags = fcntl(fd, F_GETFL);
	if (ret_pinned && flags >= 0 && (flags & O_PATH))
		*ret_pinned = fd;
	else
		close(fd);
}

static int receive_report(int in, const struct apart *apart, void *report, int *ret_pinned)
{
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
	struct iovec part = {report, apart->size};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof space};
	struct pollfd wait = {.fd = in, .events = POLLIN};
	nanoseconds deadline = after(APART_PATIENCE);
	ssize_t n;

	for (;;) {
		nanoseconds left = deadline - now();
		int r;

		if (left <= 0)
			return -ETIMEDOUT;
		r = poll(&wait, 1, (int)(left / MILLISECOND) + 1);
		if (r < 0 && errno != EINTR)
			return -errno;
		if (r > 0)
			break;
	}
	n = recvmsg(in, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return errno == ECONNRESET ? -ECHILD : -errno;
	take_pinned(&message, ret_pinned);
	return (size_t)n == apart->size && !(message.msg_flags & MSG_TRUNC) ? 0 : -ECHILD;
}

/* Waits a moment for the end of the child.  The supervisor reaps one that cannot be killed yet. */
static void end_child(pid_t pid, bool has_failed)
{
	struct pollfd wait = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};

	if (has_failed)
		(void)kill(pid, SIGKILL); /* not reaped yet, so the pid is still its own */
	if (wait.fd < 0)
		return;
	if (poll(&wait, 1, END_MS) == 0)
		(void)kill(pid, SIGKILL);
	close(wait.fd);
	(void)waitpid(pid, NULL, WNOHANG);
}

int apart_run(const struct apart *apart, void *report, int *ret_pinned)
{
	int ends[2], pinned = -1, r;
	pid_t pid;

	if (ret_pinned)
		*ret_pinned = -1;
	memset(report, 0, apart->size);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		child(apart, ends[1]);
	r = pid < 0 ? -errno : 0;
	close(ends[1]);
	if (r == 0) {
		r = receive_report(ends[0], apart, report, ret_pinned ? &pinned : NULL);
		end_child(pid, r < 0);
	}
	close(ends[0]);
	if (r < 0) {
		fd_close(&pinned);
		memset(report, 0, apart->size);
	} else if (ret_pinned) {
		*ret_pinned = pinned;
	}
	return r;
}
