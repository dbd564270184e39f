/* SPDX-License-Identifier: MIT */
/*
 * Defines a function that replaces libc's: INTERPOSE(result, name, parameters) { body }.
 *
 * In C the function is called interposed_NAME; only the symbol that the library exports is NAME.
 * So the function does not conflict with libc's prototype (with transparent unions and attributes),
 * and the shim does not call the function by accident.
 */
#pragma once

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define INTERPOSED(result, name, ...) \
	__attribute__((visibility("default"))) result interposed_##name(__VA_ARGS__) __asm__(#name)
#define INTERPOSE(result, name, ...)           \
	INTERPOSED(result, name, __VA_ARGS__); \
	result interposed_##name(__VA_ARGS__)

/* The functions that shim/hook/syscall.c calls. */
INTERPOSED(int, bind, int, const struct sockaddr *, socklen_t);
INTERPOSED(int, listen, int, int);
INTERPOSED(int, accept, int, struct sockaddr *, socklen_t *);
INTERPOSED(int, accept4, int, struct sockaddr *, socklen_t *, int);
INTERPOSED(int, shutdown, int, int);
INTERPOSED(int, connect, int, const struct sockaddr *, socklen_t);
INTERPOSED(int, setsockopt, int, int, int, const void *, socklen_t);
INTERPOSED(int, getsockopt, int, int, int, void *, socklen_t *);
INTERPOSED(ssize_t, read, int, void *, size_t);
INTERPOSED(ssize_t, readv, int, const struct iovec *, int);
INTERPOSED(ssize_t, recv, int, void *, size_t, int);
INTERPOSED(ssize_t, recvfrom, int, void *, size_t, int, struct sockaddr *, socklen_t *);
INTERPOSED(ssize_t, recvmsg, int, struct msghdr *, int);
INTERPOSED(int, recvmmsg, int, struct mmsghdr *, unsigned, int, struct timespec *);
INTERPOSED(int, unlink, const char *);
INTERPOSED(int, unlinkat, int, const char *, int);
INTERPOSED(int, rename, const char *, const char *);
INTERPOSED(int, renameat2, int, const char *, int, const char *, unsigned);
INTERPOSED(int, close, int);
INTERPOSED(int, close_range, unsigned, unsigned, int);
INTERPOSED(int, dup, int);
INTERPOSED(int, dup2, int, int);
INTERPOSED(int, dup3, int, int, int);
INTERPOSED(int, fcntl, int, int, ...);
INTERPOSED(int, ioctl, int, unsigned long, ...);
INTERPOSED(int, epoll_ctl, int, int, int, struct epoll_event *);
INTERPOSED(int, epoll_pwait, int, struct epoll_event *, int, int, const sigset_t *);
INTERPOSED(int, prctl, int, long, long, long, long);
