/* SPDX-License-Identifier: MIT */
/*
 * Part of closer.c.  wait-NAME: each function waits with one call for the first listener, and
 * returns the result of the call.
 */
#pragma once

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/closer.h"

enum { KERNEL_SIGSET = 8 };

extern int __poll_chk(struct pollfd *, nfds_t, int, size_t); /* what -D_FORTIFY_SOURCE calls */
extern int __ppoll_chk(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t);

static struct epoll_event got[4];
static struct pollfd polled;

static int by_epoll_wait(void)
{
	return (int)syscall(SYS_epoll_wait, epoll, got, 4, -1);
}

static int by_epoll_pwait(void)
{
	return (int)syscall(SYS_epoll_pwait, epoll, got, 4, 3000, NULL, KERNEL_SIGSET);
}

static int by_sys_epoll_pwait2(void)
{
	struct timespec t = {3, 0};
	return (int)syscall(SYS_epoll_pwait2, epoll, got, 4, &t, NULL, KERNEL_SIGSET);
}

static int by_epoll_pwait2(void)
{
	return epoll_pwait2(epoll, got, 4, NULL, NULL);
}

static int by_poll(void)
{
	return (int)syscall(SYS_poll, &polled, 1, -1);
}

/* The kernel writes the remaining time back: after a time-out, nothing remains. */
static int over(int result, long seconds, long parts)
{
	require(result != 0 || (!seconds && !parts), "the time that is left");
	return result;
}

static int by_ppoll(void)
{
	struct timespec t = {0, 20000000};
	int result = (int)syscall(SYS_ppoll, &polled, 1, &t, NULL, KERNEL_SIGSET);
	return over(result, t.tv_sec, t.tv_nsec);
}

static int by_poll_chk(void)
{
	return __poll_chk(&polled, 1, -1, sizeof(polled));
}

static int by_ppoll_chk(void)
{
	return __ppoll_chk(&polled, 1, NULL, NULL, sizeof(polled));
}

/* Larger than the header's fd_set: the listener may be any number below 8192. */
static fd_set *set_of(int fd)
{
	static unsigned long words[128];
	memset(words, 0, sizeof(words));
	words[fd / 64] |= 1ul << fd % 64;
	return (void *)words;
}

static int by_select(void)
{
	struct timeval t = {0, 20000};
	int result = (int)syscall(SYS_select, first + 1, set_of(first), NULL, NULL, &t);
	return over(result, t.tv_sec, t.tv_usec);
}

static int by_pselect6(void)
{
	struct timespec t = {0, 20000000};
	int result = (int)syscall(SYS_pselect6, first + 1, set_of(first), NULL, NULL, &t, NULL);
	return over(result, t.tv_sec, t.tv_nsec);
}

static int by_high_select(void)
{
	return select(first + 1, set_of(first), NULL, NULL, NULL);
}

static int by_high_pselect(void)
{
	return pselect(first + 1, set_of(first), NULL, NULL, NULL, NULL);
}
