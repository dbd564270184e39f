/* SPDX-License-Identifier: MIT */
/*
 * syscall(): calls that daemons make without libc's wrappers (libuv closes with SYS_close).
 *
 * Every other call must reach libc's syscall() unchanged.  A child of SYS_vfork, or of SYS_clone
 * with its own stack, returns through this code, so this code may have no stack frame.
 *
 * A wait also goes to the kernel unchanged, unless a gate is closed: the system calls differ from
 * libc's functions.  They are no cancellation points, and ppoll and pselect6 write the remaining
 * time into their timeouts.
 */
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "shim/gate.h"
#include "shim/hook/interpose.h"
#include "shim/raw.h"
#include "shim/real.h"
#include "shim/sandbox.h"
#include "shim/wait.h"
#include "shim/wait_slice.h"
#include "shim/wait_time.h"

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* 1 for the numbers that syscall_ours() handles. */
static const unsigned char ours[512] __attribute__((used)) = {
        [SYS_bind] = 1,
        [SYS_listen] = 1,
        [SYS_accept] = 1,
        [SYS_accept4] = 1,
        [SYS_shutdown] = 1,
        [SYS_connect] = 1,
        [SYS_setsockopt] = 1,
        [SYS_getsockopt] = 1,
        [SYS_read] = 1,
        [SYS_readv] = 1,
        [SYS_recvfrom] = 1,
        [SYS_recvmsg] = 1,
        [SYS_recvmmsg] = 1,
        [SYS_unlinkat] = 1,
        [SYS_renameat2] = 1,
        [SYS_close] = 1,
        [SYS_close_range] = 1,
        [SYS_dup] = 1,
        [SYS_dup3] = 1,
        [SYS_fcntl] = 1,
        [SYS_ioctl] = 1,
        [SYS_epoll_ctl] = 1,
        [SYS_epoll_pwait] = 1,
        [SYS_epoll_pwait2] = 1,
        [SYS_ppoll] = 1,
        [SYS_pselect6] = 1,
        [SYS_prctl] = 1,
        [SYS_seccomp] = 1,
#ifdef SYS_dup2 /* calls that only the older architectures have */
        [SYS_dup2] = 1,
        [SYS_epoll_wait] = 1,
        [SYS_poll] = 1,
        [SYS_select] = 1,
        [SYS_unlink] = 1,
        [SYS_rename] = 1,
#endif
};

/*
 * Of fcntl and ioctl, only the requests that concern a listener are handled: libc's own wrappers
 * change the arguments of some other requests.
 */
static bool is_ours_to_control(long number, long request)
{
	if (number == SYS_ioctl)
		return request == FIONBIO;
	return request == F_GETFL || request == F_SETFL || request == F_DUPFD ||
	       request == F_DUPFD_CLOEXEC;
}

/* ---- waits ---- */

struct arguments {
	long number, a, b, c, d, e, f;
};

enum { KERNEL_SIGSET = 8, SECOND = 1000000000 };

static long kernel(const struct arguments *call)
{
	return real.syscall(call->number, call->a, call->b, call->c, call->d, call->e, call->f);
}

static bool is_mask_right(long mask, long size)
{
	return !mask || size == KERNEL_SIGSET;
}

static struct timespec clock_now(void)
{
	struct timespec t = {0};
	real.clock_gettime(CLOCK_MONOTONIC, &t);
	return t;
}

/* Subtracts the time that has passed since `began` from `timeout` (may be NULL). */
static void write_back(struct timespec *timeout, const struct timespec *began)
{
	if (!timeout)
		return;
	struct timespec t = clock_now();
	int64_t seconds = timeout->tv_sec - (t.tv_sec - began->tv_sec);
	int64_t rest = timeout->tv_nsec - (t.tv_nsec - began->tv_nsec);
	for (; rest < 0; rest += SECOND)
		seconds--;
	for (; rest >= SECOND; rest -= SECOND)
		seconds++;
	*timeout = seconds < 0 ? (struct timespec){0, 0} : (struct timespec){seconds, rest};
}

static long epoll_in_turn(const struct arguments *call)
{
	struct epoll_event *events = (void *)call->b;
	bool precise = call->number == SYS_epoll_pwait2;
	const struct timespec *timeout = precise ? (const void *)call->d : NULL;
	bool masked = precise || call->number == SYS_epoll_pwait;
	if ((masked && !is_mask_right(call->e, call->f)) || !wait_time_is_right(timeout))
		return kernel(call);
	const sigset_t *mask = masked ? (const void *)call->e : NULL;
	return precise ? wait_epoll((int)call->a, events, (int)call->c, timeout, mask)
	               : interposed_epoll_pwait(
	                         (int)call->a, events, (int)call->c, (int)call->d, mask);
}

static long poll_in_turn(const struct arguments *call)
{
	struct timespec *timeout = NULL, began, t;
	const sigset_t *mask = NULL;
	if (call->number == SYS_ppoll) {
		timeout = (void *)call->c;
		mask = (const void *)call->d;
		if (!is_mask_right(call->d, call->e) || !wait_time_is_right(timeout))
			return kernel(call);
		began = clock_now();
	} else if ((int)call->c >= 0) {
		t = (struct timespec){(int)call->c / 1000, (int)call->c % 1000 * 1000000L};
		return wait_poll(
		        (void *)call->a, (nfds_t)call->b, wait_deadline(wait_limit(&t)), NULL);
	}
	int result = wait_poll(
	        (void *)call->a, (nfds_t)call->b, wait_deadline(wait_limit(timeout)), mask);
	write_back(timeout, &began);
	return result;
}

static long select_in_turn(const struct arguments *call)
{
	fd_set *sets[3] = {(void *)call->b, (void *)call->c, (void *)call->d};
	struct timespec *timeout = NULL, t, left;
	if (call->number == SYS_pselect6) {
		timeout = (void *)call->e;
		const struct {
			const sigset_t *mask;
			size_t size;
		} *pack = (const void *)call->f;
		if (!wait_time_is_right(timeout) ||
		        (pack && !is_mask_right((long)pack->mask, (long)pack->size)))
			return kernel(call);
		int result = wait_select((int)call->a, sets[0], sets[1], sets[2],
		        wait_deadline(wait_limit(timeout)), pack ? pack->mask : NULL, &left);
		if (timeout)
			*timeout = left;
		return result;
	}
	struct timeval *given = (void *)call->e;
	if (given && (given->tv_sec < 0 || given->tv_usec < 0))
		return kernel(call);
	if (given) {
		t = (struct timespec){
		        given->tv_sec + given->tv_usec / 1000000, given->tv_usec % 1000000 * 1000};
		timeout = &t;
	}
	int result = wait_select((int)call->a, sets[0], sets[1], sets[2],
	        wait_deadline(wait_limit(timeout)), NULL, &left);
	if (given)
		*given = (struct timeval){left.tv_sec, left.tv_nsec / 1000};
	return result;
}

static long waited(const struct arguments *call)
{
	long result = kernel(call);
	wait_done();
	return result;
}

static long wait_by_number(const struct arguments *call)
{
	long result;
	nanoseconds unused; /* a deadline from a limit of 0: this reads no clock */
	switch (call->number) {
#ifdef SYS_poll
	case SYS_poll:
#endif
	case SYS_ppoll:
		return wait_poll_is_plain((void *)call->a, (nfds_t)call->b, 0, &unused)
		               ? waited(call)
		               : poll_in_turn(call);
#ifdef SYS_select
	case SYS_select:
#endif
	case SYS_pselect6:
		return wait_select_is_plain((int)call->a, (void *)call->b, 0, &unused)
		               ? waited(call)
		               : select_in_turn(call);
	default:
		if (!wait_epoll_is_plain((int)call->a, GATE_FRAME))
			return epoll_in_turn(call);
		result = kernel(call);
		wait_epoll_done((int)call->a, GATE_FRAME);
		return result;
	}
}

static long socket_by_number(const struct arguments *call)
{
	int fd = (int)call->a;
	switch (call->number) {
	case SYS_bind: return interposed_bind(fd, (void *)call->b, (socklen_t)call->c);
	case SYS_listen: return interposed_listen(fd, (int)call->b);
	case SYS_accept: return interposed_accept4(fd, (void *)call->b, (void *)call->c, 0);
	case SYS_accept4:
		return interposed_accept4(fd, (void *)call->b, (void *)call->c, (int)call->d);
	case SYS_shutdown: return interposed_shutdown(fd, (int)call->b);
	case SYS_connect: return interposed_connect(fd, (void *)call->b, (socklen_t)call->c);
	case SYS_setsockopt:
		return interposed_setsockopt(
		        fd, (int)call->b, (int)call->c, (void *)call->d, (socklen_t)call->e);
	case SYS_getsockopt:
		return interposed_getsockopt(
		        fd, (int)call->b, (int)call->c, (void *)call->d, (void *)call->e);
	case SYS_read: return interposed_read(fd, (void *)call->b, (size_t)call->c);
	case SYS_readv: return interposed_readv(fd, (void *)call->b, (int)call->c);
	case SYS_recvfrom:
		return interposed_recvfrom(fd, (void *)call->b, (size_t)call->c, (int)call->d,
		        (void *)call->e, (void *)call->f);
	case SYS_recvmsg: return interposed_recvmsg(fd, (void *)call->b, (int)call->c);
	default:
		return interposed_recvmmsg(
		        fd, (void *)call->b, (unsigned)call->c, (int)call->d, (void *)call->e);
	}
}

static long seccomp_by_number(const struct arguments *call)
{
	bool installs = call->a == SECCOMP_SET_MODE_FILTER || call->a == SECCOMP_SET_MODE_STRICT;
	bool concerns_us = installs && sandbox_concerns_us();
	long result = kernel(call);
	if (!concerns_us || result < 0)
		return result;
	if (call->a == SECCOMP_SET_MODE_STRICT)
		sandbox_entered_strictly();
	/* With TSYNC, a positive result is the id of a thread that could not take the filter. */
	else if (result == 0 || call->b & SECCOMP_FILTER_FLAG_NEW_LISTENER)
		sandbox_entered((const void *)call->c, call->b & SECCOMP_FILTER_FLAG_TSYNC);
	return result;
}

static long __attribute__((used))
syscall_ours(long number, long a, long b, long c, long d, long e, long f)
{
	const struct arguments call = {number, a, b, c, d, e, f};
	switch (number) {
	case SYS_bind:
	case SYS_listen:
	case SYS_accept:
	case SYS_accept4:
	case SYS_shutdown:
	case SYS_connect:
	case SYS_setsockopt:
	case SYS_getsockopt:
	case SYS_read:
	case SYS_readv:
	case SYS_recvfrom:
	case SYS_recvmsg:
	case SYS_recvmmsg: return socket_by_number(&call);
	case SYS_unlinkat: return interposed_unlinkat((int)a, (void *)b, (int)c);
	case SYS_renameat2:
		return interposed_renameat2((int)a, (void *)b, (int)c, (void *)d, (unsigned)e);
	case SYS_close: return interposed_close((int)a);
	case SYS_close_range: return interposed_close_range((unsigned)a, (unsigned)b, (int)c);
	case SYS_dup: return interposed_dup((int)a);
#ifdef SYS_dup2
	case SYS_dup2: return interposed_dup2((int)a, (int)b);
	case SYS_unlink: return interposed_unlink((void *)a);
	case SYS_rename: return interposed_rename((void *)a, (void *)b);
#endif
	case SYS_dup3: return interposed_dup3((int)a, (int)b, (int)c);
	case SYS_prctl: return interposed_prctl((int)a, b, c, d, e);
	case SYS_seccomp: return seccomp_by_number(&call);
	case SYS_epoll_ctl: return interposed_epoll_ctl((int)a, (int)b, (int)c, (void *)d);
	case SYS_fcntl:
	case SYS_ioctl:
		if (!is_ours_to_control(number, b))
			return real.syscall(number, a, b, c, d, e, f);
		return number == SYS_fcntl ? interposed_fcntl((int)a, (int)b, c)
		                           : interposed_ioctl((int)a, (unsigned long)b, c);
	default: return wait_by_number(&call);
	}
}

#if defined(__x86_64__)
_Static_assert(offsetof(struct real, syscall) == 0, "the jump below goes through `real` itself");

long interposed_syscall(long, ...) __asm__("syscall");
__attribute__((visibility("default"), naked)) long interposed_syscall(
        long number __attribute__((unused)), ...)
{
	__asm__("cmpq $511, %rdi\n\t"
	        "ja 1f\n\t"
	        "leaq ours(%rip), %rax\n\t"
	        "cmpb $0, (%rax, %rdi)\n\t"
	        "jne syscall_ours\n" /* `f` is on the stack, where syscall_ours() expects it */
	        "1:\n\t"
	        "jmp *real(%rip)");
}
#else
/* All seven words come in registers, so the compiler turns both calls into jumps (-O2). */
INTERPOSE(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
	if ((unsigned long)number < sizeof(ours) && ours[number])
		return syscall_ours(number, a, b, c, d, e, f);
	return real.syscall(number, a, b, c, d, e, f);
}
#endif
