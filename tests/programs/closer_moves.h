/* SPDX-License-Identifier: MIT */
/* Part of closer.c.  move-, close- and epoll-NAME: each function moves or closes one descriptor. */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/programs/closer.h"

/* ---- move-: each function closes the listener's old number and returns the new number ---- */

static int closing(int fd, int result)
{
	close(fd);
	return result;
}

static int lowest_or(int fd, int a, int b)
{
	return fd == a ? b : a;
}

static int by_dup(int fd)
{
	return closing(fd, dup(fd));
}

static int by_dup2(int fd)
{
	return closing(fd, dup2(fd, lowest_or(fd, 300, 301)));
}

static int by_dup3(int fd)
{
	return closing(fd, dup3(fd, lowest_or(fd, 300, 301), O_CLOEXEC));
}

static int by_dupfd(int fd)
{
	return closing(fd, fcntl(fd, F_DUPFD, lowest_or(fd, 400, 500)));
}

static int by_dupfd_cloexec(int fd)
{
	return closing(fd, fcntl(fd, F_DUPFD_CLOEXEC, lowest_or(fd, 400, 500)));
}

static int by_sys_dup(int fd)
{
	int to = (int)syscall(SYS_dup, fd);
	syscall(SYS_close, fd);
	return to;
}

static int by_sys_dup2(int fd)
{
	return closing(fd, (int)syscall(SYS_dup2, fd, lowest_or(fd, 300, 301)));
}

static int by_sys_dup3(int fd)
{
	return closing(fd, (int)syscall(SYS_dup3, fd, lowest_or(fd, 300, 301), O_CLOEXEC));
}

static int by_sys_fcntl(int fd)
{
	return closing(fd, (int)syscall(SYS_fcntl, fd, F_DUPFD, lowest_or(fd, 400, 500)));
}

/* ---- close-: each function closes the number, or replaces it by /dev/null (dup2) ---- */

static int null(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int by_fclose(int fd)
{
	return fclose(fdopen(fd, "r"));
}

static int by_freopen(int fd)
{
	return freopen("/dev/null", "r", fdopen(fd, "r")) ? 0 : -1;
}

static int by_close_range(int fd)
{
	return close_range((unsigned)fd, (unsigned)fd, 0);
}

static int by_unshare(int fd)
{
	return close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_UNSHARE);
}

/* main() has moved this descriptor above all others. */
static int by_closefrom(int fd)
{
	closefrom(fd);
	return 0;
}

static int by_sys_close(int fd)
{
	return (int)syscall(SYS_close, fd);
}

static int by_sys_close_range(int fd)
{
	return (int)syscall(SYS_close_range, fd, fd, 0);
}

static int by_dup2_over(int fd)
{
	return dup2(null(), fd);
}

static int by_dup3_over(int fd)
{
	return dup3(null(), fd, O_CLOEXEC);
}

static int by_sys_dup2_over(int fd)
{
	return (int)syscall(SYS_dup2, null(), fd);
}

static int by_sys_dup3_over(int fd)
{
	return (int)syscall(SYS_dup3, null(), fd, 0);
}

/* close_range() with CLOEXEC closes nothing; shutdown() and close() follow. */
static int by_shutdown(int fd)
{
	require(close_range((unsigned)fd, (unsigned)fd, CLOSE_RANGE_CLOEXEC) == 0, "CLOEXEC");
	shutdown(fd, SHUT_RDWR);
	return close(fd);
}

/* ---- epoll-: one of the functions above, or this one, closes or moves the epoll instance ---- */

static int by_second_of_the_same(int fd)
{
	int other = epoll_create1(0);
	require(other >= 0 && dup2(other, fd) == fd, "dup2 over an epoll");
	close(other);
	epoll = fd;
	for (int i = 0; i < legacy.listener_count; i++)
		watch(legacy.listeners[i]);
	return fd;
}
