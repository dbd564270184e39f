/* SPDX-License-Identifier: MIT */
/*
 * System calls without libc, for the library's own work.
 *
 * libc's wrappers are interposed by this library, set errno, and are cancellation points; `syscall`
 * itself is interposed too.  raw() returns the result or -errno and touches nothing else.  A call
 * that a filter of the daemon's own denies is not made, and fails with -EPERM.
 *
 * A POSIX lock of the daemon's (fcntl, lockf) on a file ends when any descriptor of that file is
 * closed, also one of the library's.  So the library opens and receives nothing that could be a
 * file of the daemon's:
 *   - sockets: the launcher's channel; listeners, templates, connections.  The daemon's own number
 *     is closed by the daemon, or replaced by dup3() where it holds a socket;
 *   - the generation's board and tally, memfds that only the launcher and the library know, closed
 *     once they are mapped;
 *   - /proc/self/fd, fdinfo and the files in it, and uid_map, which belong to procfs;
 *   - directories by O_PATH, the close of which releases no lock (fs/open.c, filp_close()).
 * Files are looked at by name (fstatat, faccessat), and read by the launcher.
 */
#pragma once

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>

/* True once a filter has been installed (shim/sandbox.c). */
extern _Atomic bool raw_is_checked;
bool sandbox_denies(long number);

#if defined(__x86_64__)
static inline long raw_kernel(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
	                 : "=a"(result)
	                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
	                 : "rcx", "r11", "memory");
	return result;
}
#elif defined(__aarch64__)
static inline long raw_kernel(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc 0"
	                 : "+r"(x0)
	                 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
	                 : "memory");
	return x0;
}
#else
#error "moult knows the system call convention of x86-64 and aarch64 only"
#endif

static inline long raw_call(long number, long a, long b, long c, long d, long e, long f)
{
	if (__builtin_expect(atomic_load_explicit(&raw_is_checked, memory_order_relaxed), 0) &&
	        sandbox_denies(number))
		return -EPERM;
	return raw_kernel(number, a, b, c, d, e, f);
}

#define RAW_6(n, a, b, c, d, e, f, ...) \
	raw_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
/* raw(SYS_x, up to six arguments) */
#define raw(...) RAW_6(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)
