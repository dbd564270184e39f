/* SPDX-License-Identifier: MIT */
/*
 * The libc functions underneath the hooks: plain system calls first, from the constructor on those
 * that dlsym(RTLD_NEXT) finds.
 */
#include "shim/real.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>

#include "shim/raw.h"

/* The kernel's _NSIG / 8, the size that it expects beside every signal mask. */
enum { KERNEL_SIGSET = 8 };

static long finish(long result)
{
	if (result >= 0)
		return result;
	errno = (int)-result;
	return -1;
}

static int first_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return (int)finish(raw(SYS_bind, fd, address, length));
}

static int first_listen(int fd, int backlog)
{
	return (int)finish(raw(SYS_listen, fd, backlog));
}

static int first_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	return (int)finish(raw(SYS_accept4, fd, address, length, flags));
}

static int first_accept(int fd, struct sockaddr *address, socklen_t *length)
{
	return first_accept4(fd, address, length, 0);
}

static int first_shutdown(int fd, int how)
{
	return (int)finish(raw(SYS_shutdown, fd, how));
}

static int first_connect(int fd, const struct sockaddr *address, socklen_t length)
{
	return (int)finish(raw(SYS_connect, fd, address, length));
}

static int first_setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	return (int)finish(raw(SYS_setsockopt, fd, level, name, value, length));
}

static int first_getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	return (int)finish(raw(SYS_getsockopt, fd, level, name, value, length));
}

static ssize_t first_read(int fd, void *data, size_t size)
{
	return finish(raw(SYS_read, fd, data, size));
}

static ssize_t first_readv(int fd, const struct iovec *parts, int count)
{
	return finish(raw(SYS_readv, fd, parts, count));
}

static ssize_t first_recvfrom(
        int fd, void *data, size_t size, int flags, struct sockaddr *address, socklen_t *length)
{
	return finish(raw(SYS_recvfrom, fd, data, size, flags, address, length));
}

static ssize_t first_recv(int fd, void *data, size_t size, int flags)
{
	return first_recvfrom(fd, data, size, flags, NULL, NULL);
}

static ssize_t first_recvmsg(int fd, struct msghdr *message, int flags)
{
	return finish(raw(SYS_recvmsg, fd, message, flags));
}

static int first_recvmmsg(
        int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout)
{
	return (int)finish(raw(SYS_recvmmsg, fd, messages, count, flags, timeout));
}

static int first_open(const char *path, int flags, ...)
{
	va_list arguments;
	va_start(arguments, flags);
	unsigned mode = va_arg(arguments, unsigned); /* undefined, and unused, without O_CREAT */
	va_end(arguments);
	return (int)finish(raw(SYS_openat, -100 /* AT_FDCWD */, path, flags, mode));
}

static int first_truncate(const char *path, long length)
{
	return (int)finish(raw(SYS_truncate, path, length));
}

static int first_ftruncate(int fd, long length)
{
	return (int)finish(raw(SYS_ftruncate, fd, length));
}

/* On these machines every offset has 64 bits. */
#define first_open64      first_open
#define first_truncate64  first_truncate
#define first_ftruncate64 first_ftruncate

static int first_unlinkat(int directory, const char *path, int flags)
{
	return (int)finish(raw(SYS_unlinkat, directory, path, flags));
}

static int first_unlink(const char *path)
{
	return first_unlinkat(-100 /* AT_FDCWD */, path, 0);
}

static int first_renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags)
{
	return (int)finish(raw(SYS_renameat2, from_at, from, to_at, to, flags));
}

static int first_renameat(int from_at, const char *from, int to_at, const char *to)
{
	return first_renameat2(from_at, from, to_at, to, 0);
}

static int first_close(int fd)
{
	return (int)finish(raw(SYS_close, fd));
}

static int first_close_range(unsigned first, unsigned last, int flags)
{
	return (int)finish(raw(SYS_close_range, first, last, flags));
}

static void first_closefrom(int first)
{
	raw(SYS_close_range, first < 0 ? 0 : first, ~0u, 0);
}

static int first_dup(int fd)
{
	return (int)finish(raw(SYS_dup, fd));
}

static int first_dup3(int fd, int to, int flags)
{
	return (int)finish(raw(SYS_dup3, fd, to, flags));
}

static int first_dup2(int fd, int to)
{
#ifdef SYS_dup2
	return (int)finish(raw(SYS_dup2, fd, to));
#else
	if (fd == to) /* dup3 refuses two equal numbers, dup2 does not */
		return raw(SYS_fcntl, fd, 1 /* F_GETFD */) < 0 ? (int)finish(-EBADF) : to;
	return first_dup3(fd, to, 0);
#endif
}

static int first_fcntl(int fd, int command, ...)
{
	va_list arguments;
	va_start(arguments, command);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return (int)finish(raw(SYS_fcntl, fd, command, argument));
}

static int first_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	va_start(arguments, request);
	long argument = va_arg(arguments, long);
	va_end(arguments);
	return (int)finish(raw(SYS_ioctl, fd, request, argument));
}

static int first_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	return (int)finish(raw(SYS_epoll_ctl, epoll, operation, fd, event));
}

static int first_epoll_pwait(
        int epoll, struct epoll_event *events, int count, int timeout, const sigset_t *mask)
{
	return (int)finish(
	        raw(SYS_epoll_pwait, epoll, events, count, timeout, mask, KERNEL_SIGSET));
}

static int first_epoll_wait(int epoll, struct epoll_event *events, int count, int timeout)
{
	return first_epoll_pwait(epoll, events, count, timeout, NULL);
}

static int first_epoll_pwait2(int epoll, struct epoll_event *events, int count,
        const struct timespec *timeout, const sigset_t *mask)
{
	return (int)finish(raw(441, epoll, events, count, timeout, mask, KERNEL_SIGSET));
}

/*
 * The kernel writes the remaining time back into the timeouts of ppoll and pselect6.  libc's
 * functions do not, so the kernel gets a copy.
 */
static int first_ppoll(
        struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec copy;
	if (timeout)
		copy = *timeout;
	return (int)finish(raw(SYS_ppoll, fds, count, timeout ? &copy : NULL, mask, KERNEL_SIGSET));
}

static int first_poll(struct pollfd *fds, nfds_t count, int timeout)
{
	struct timespec t = {timeout / 1000, timeout % 1000 * 1000000L};
	return first_ppoll(fds, count, timeout < 0 ? NULL : &t, NULL);
}

static int first_pselect(int count, fd_set *readable, fd_set *writable, fd_set *exceptional,
        const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec copy;
	const void *pack[2] = {mask, (void *)KERNEL_SIGSET};
	if (timeout)
		copy = *timeout;
	return (int)finish(raw(SYS_pselect6, count, readable, writable, exceptional,
	        timeout ? &copy : NULL, pack));
}

static int first_select(
        int count, fd_set *readable, fd_set *writable, fd_set *exceptional, struct timeval *timeout)
{
	struct timespec t = {0};
	if (timeout)
		t = (struct timespec){timeout->tv_sec, timeout->tv_usec * 1000};
	int result = (int)finish(raw(
	        SYS_pselect6, count, readable, writable, exceptional, timeout ? &t : NULL, NULL));
	if (timeout)
		*timeout = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
	return result;
}

static long first_syscall(long number, ...)
{
	long a[6];
	va_list arguments;
	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	return finish(raw_call(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

static int first_prctl(int option, ...)
{
	long a[4];
	va_list arguments;
	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	return (int)finish(raw(SYS_prctl, option, a[0], a[1], a[2], a[3]));
}

static int first_clock_gettime(clockid_t clock, struct timespec *ret)
{
	return (int)finish(raw(SYS_clock_gettime, clock, ret));
}

static int first_execve(const char *path, char *const argv[], char *const environment[])
{
	return (int)finish(raw(SYS_execve, path, argv, environment));
}

static int first_execveat(
        int directory, const char *path, char *const argv[], char *const environment[], int flags)
{
	return (int)finish(raw(SYS_execveat, directory, path, argv, environment, flags));
}

struct real real = {
#define FUNCTION(result, name, parameters) .name = first_##name,
        REAL_CALLS(FUNCTION)
#undef FUNCTION
};

void real_resolve(void)
{
	void *symbol;
#define FUNCTION(result, name, parameters) \
	symbol = dlsym(RTLD_NEXT, #name);  \
	if (symbol)                        \
		*(void **)&real.name = symbol;
	REAL_CALLS(FUNCTION)
	REAL_LIBRARY(FUNCTION)
#undef FUNCTION
}
