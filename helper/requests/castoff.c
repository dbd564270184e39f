/* SPDX-License-Identifier: MIT */
/* How the broker closes descriptors that it has received from other processes. */
#include "helper/requests/castoff.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "helper/base/socket_option.h"
#include "helper/base/util.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef CLOSE_RANGE_UNSHARE
#define CLOSE_RANGE_UNSHARE 2
#endif

enum {
	TOGETHER = 64, /* how many are closed by one child */
	MOST = 1024,
	/* Descriptors of a request and of its answer (SCM_MAX_FD each), and two connections. */
	MESSAGE = 2 * 253 + 2,
	BLOCK = 64, /* BITS_PER_LONG, fs/file.c */
	WAIT_MS = 1000,
};

static int list[MOST + MESSAGE];
static size_t count;
static size_t together; /* TOGETHER, or fewer where few descriptors may be open */
static int floor_number;
static int word; /* the number of a pipe's end: see castoff_leave() */

/*
 * The floor is a multiple of 64: the kernel copies the beginning of a descriptor table only in such
 * steps (fs/file.c, sane_fdtable_size()).  If few descriptors may be open, the floor is lower.
 */
void castoff_init(int first, int most)
{
	struct rlimit limit;
	together = TOGETHER;
	floor_number = (first + CASTOFF_OWN + most + BLOCK - 1) / BLOCK * BLOCK;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		if (limit.rlim_cur / 8 < together)
			together = limit.rlim_cur / 8 + 1;
		while (floor_number > BLOCK && (rlim_t)floor_number > limit.rlim_cur / 2)
			floor_number -= BLOCK;
		if ((rlim_t)floor_number > limit.rlim_cur / 2)
			floor_number = (int)limit.rlim_cur / 2; /* castoff_leave() exits then */
	}
	word = first;
	for (int fd = first; fd < floor_number; fd++)
		if (dup3(STDIN_FILENO, fd, O_CLOEXEC) < 0)
			_exit(1);
}

int castoff_floor(void)
{
	return floor_number;
}

/* ---- what is kept ---- */

void castoff_keep(int fd, int number)
{
	(void)dup3(fd, number, O_CLOEXEC);
	close(fd); /* never waits: a socket, and not its last descriptor */
}

void castoff_give_up(int number)
{
	int fd = fcntl(number, F_DUPFD_CLOEXEC, floor_number);
	if (fd < 0) /* the launcher starts another broker */
		_exit(0);
	castoff_add(fd);
	(void)dup3(STDIN_FILENO, number, O_CLOEXEC);
}

/* ---- sockets ---- */

static bool close_all(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		char byte;
		close(ends[1]);
		(void)!read(ends[0], &byte, 1); /* until the parent has closed all of them */
		_exit(0);
	}
	close(ends[0]);
	for (size_t i = 0; pid > 0 && i < count; i++)
		close(list[i]);
	close(ends[1]);
	return pid > 0;
}

void castoff_release(void)
{
	if (count && close_all())
		count = 0;
	/* No process or pipe could be made for long: the launcher starts another broker. */
	if (count >= MOST)
		_exit(0);
}

void castoff_add(int fd)
{
	list[count++] = fd;
}

void castoff_tidy(void)
{
	if (count >= together)
		castoff_release();
}

bool castoff_is_empty(void)
{
	return !count;
}

/* ---- files ---- */

/* Neither of the two calls asks a file system. */
bool castoff_is_file(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	return flags >= 0 && !(flags & O_PATH) && socket_option(fd, SOL_SOCKET, SO_TYPE) < 0;
}

/*
 * The child waits until the broker has left the shared table, or has ended.  The table is the
 * child's alone then, and its exit closes all descriptors, lower numbers first.  So the harmless
 * ones, the broker's own and those received before the file, are closed before anything can wait.
 */
static _Noreturn void end_with_table(int told, pid_t broker)
{
	struct pollfd one = {.fd = told, .events = POLLIN};
	while (poll(&one, 1, WAIT_MS) != 1 && getppid() == broker)
		;
	_exit(0);
}

/*
 * The child shares the descriptor table (CLONE_FILES), so leaving the table closes nothing
 * (fs/file.c, put_files_struct()).  This process goes on with a copy of the table's beginning.  If
 * the kernel cannot make such a copy (before Linux 5.9, or under a filter), this process exits,
 * which closes nothing either, and the launcher starts another broker.
 */
void castoff_leave(void (*begun)(void *context, pid_t pid), void *context)
{
	pid_t broker = getpid();
	int ends[2] = {-1, -1};
	bool can_tell = pipe2(ends, O_CLOEXEC) == 0 && dup3(ends[1], word, O_CLOEXEC) >= 0;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);
	if (pid == 0)
		end_with_table(ends[0], broker);
	if (pid > 0)
		begun(context, pid);
	if (pid < 0 || !can_tell || floor_number % BLOCK ||
	        syscall(SYS_close_range, floor_number, ~0u, CLOSE_RANGE_UNSHARE) < 0 ||
	        write(word, "", 1) < 0)
		_exit(0);
	count = 0;
}
