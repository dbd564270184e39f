/* SPDX-License-Identifier: MIT */
/*
 * syscall(SYS_close, ...) and the few others that daemons make past libc's wrappers (libuv closes
 * so).
 *
 * Everything else must reach libc's syscall() exactly as it was called: a child of SYS_clone with a
 * stack of its own, or of SYS_vfork, returns through this code, which therefore may have no stack
 * frame.
 */
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "shim/interpose.h"
#include "shim/raw.h"
#include "shim/real.h"

/* 1 for the numbers that syscall_ours() takes. */
static const unsigned char ours[512] __attribute__((used)) = {
        [SYS_bind] = 1,
        [SYS_listen] = 1,
        [SYS_accept] = 1,
        [SYS_accept4] = 1,
        [SYS_shutdown] = 1,
        [SYS_close] = 1,
        [SYS_close_range] = 1,
        [SYS_dup3] = 1,
        [SYS_epoll_ctl] = 1,
};

static long __attribute__((used)) syscall_ours(long number, long a, long b, long c, long d)
{
	switch (number) {
	case SYS_bind: return interposed_bind((int)a, (void *)b, (socklen_t)c);
	case SYS_listen: return interposed_listen((int)a, (int)b);
	case SYS_accept: return interposed_accept4((int)a, (void *)b, (void *)c, 0);
	case SYS_accept4: return interposed_accept4((int)a, (void *)b, (void *)c, (int)d);
	case SYS_shutdown: return interposed_shutdown((int)a, (int)b);
	case SYS_close: return interposed_close((int)a);
	case SYS_close_range: return interposed_close_range((unsigned)a, (unsigned)b, (int)c);
	case SYS_dup3: return interposed_dup3((int)a, (int)b, (int)c);
	default: return interposed_epoll_ctl((int)a, (int)b, (int)c, (void *)d);
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
	        "jne syscall_ours\n"
	        "1:\n\t"
	        "jmp *real(%rip)");
}
#else
/* Seven words in registers: the compiler makes both calls jumps (-O2). */
INTERPOSE(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
	if ((unsigned long)number < sizeof(ours) && ours[number])
		return syscall_ours(number, a, b, c, d);
	return real.syscall(number, a, b, c, d, e, f);
}
#endif
