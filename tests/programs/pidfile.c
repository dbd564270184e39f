/* SPDX-License-Identifier: MIT */
/*
 * A daemon that writes a pid file before it binds.  Takes the options of legacy_daemon.h:
 *
 *   --output=PATH         the pid file; PATH.TAG is a second one, which no other generation uses
 *   --model=HOW[,END]     how the daemon makes and removes the pid file
 *   --delay-answer=MS     time between the creation of a file and the write
 *
 * HOW says whether the daemon starts if another instance runs:
 *
 *   flock lock     no, if another process has locked the file, by flock() or fcntl(); "lock" also
 *                  locks PATH.data
 *   excl           no, if the file exists
 *   kill           no, if the process that the file names is alive
 *   zero           like kill, but exits with status 0 instead of 1
 *   write          yes, and overwrites the file in place
 *   rename         yes, and renames a new file over the old one
 *
 * END says how the daemon removes both files, at its end or at SIGUSR1: unlink (the default),
 * unlinkat, remove; empty, truncate, ftruncate (empties the file, then unlinks it); or leave (does
 * not remove).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

static char how[32], end[32] = "unlink";
static char own[4200];
static pid_t written_by;
static int kept = -1;

static _Noreturn void refuse(void)
{
	fprintf(stderr, "pidfile %s: another one is running\n", legacy.tag);
	_exit(strcmp(how, "zero") == 0 ? 0 : 1);
}

static int open_file(const char *path, int flags)
{
	int fd = open(path, O_RDWR | flags, 0640);
	if (fd < 0 && errno == EEXIST)
		refuse();
	if (fd < 0)
		legacy_die(4, path);
	return fd;
}

static void lock(int fd)
{
	struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	if (fcntl(fd, F_SETLK, &all) < 0)
		refuse();
}

static void fill(int fd)
{
	usleep((useconds_t)legacy.delay * 1000);
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		legacy_die(4, "write");
}

static void refuse_if_named_lives(void)
{
	int pid = 0;
	FILE *file = fopen(legacy.output, "r");
	if (!file)
		return;
	if (fscanf(file, "%d", &pid) == 1 && kill(pid, 0) == 0)
		refuse();
	fclose(file);
}

static void write_renamed(void)
{
	char beside[4200];
	snprintf(beside, sizeof(beside), "%s.new", legacy.output);
	int fd = open_file(beside, O_CREAT | O_TRUNC);
	fill(fd);
	close(fd);
	if (rename(beside, legacy.output) < 0)
		legacy_die(4, "rename");
}

static void remove_one(const char *path)
{
	if (strcmp(end, "empty") == 0)
		close(open(path, O_WRONLY | O_TRUNC));
	if (strcmp(end, "truncate") == 0)
		(void)!truncate(path, 0);
	if (strcmp(end, "ftruncate") == 0 && path == legacy.output)
		(void)!ftruncate(kept, 0);
	int result = strcmp(end, "unlinkat") == 0 ? unlinkat(AT_FDCWD, path, 0)
	             : strcmp(end, "remove") == 0 ? remove(path)
	                                          : unlink(path);
	dprintf(STDERR_FILENO, "pidfile %s: %s: %s\n", legacy.tag, end,
	        result < 0 ? strerror(errno) : "removed");
}

static void remove_files(void)
{
	if (getpid() == written_by && strcmp(end, "leave") != 0) {
		remove_one(legacy.output);
		remove_one(own);
	}
}

static void terminated(int signal)
{
	remove_files();
	if (signal != SIGUSR1)
		_exit(0);
}

static void write_files(void)
{
	if (strcmp(how, "kill") == 0 || strcmp(how, "zero") == 0)
		refuse_if_named_lives();
	if (strcmp(how, "rename") == 0) {
		write_renamed();
	} else {
		int fd =
		        open_file(legacy.output, O_CREAT | (strcmp(how, "excl") == 0 ? O_EXCL : 0));
		if (strcmp(how, "lock") == 0) {
			char data[4200];
			snprintf(data, sizeof(data), "%s.data", legacy.output);
			lock(fd);
			lock(open_file(data, O_CREAT)); /* both stay open */
		} else if (strcmp(how, "flock") == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
			refuse();
		}
		fill(fd);
		if (strcmp(end, "ftruncate") == 0)
			kept = fd;
		else if (!strstr(how, "lock"))
			close(fd);
	}
	snprintf(own, sizeof(own), "%s.%s", legacy.output, legacy.tag);
	int fd = open_file(own, O_CREAT);
	fill(fd);
	close(fd);
	written_by = getpid();
	atexit(remove_files);
	signal(SIGTERM, terminated);
	signal(SIGUSR1, terminated);
}

/* ---- serving ---- */

static atomic_int connections;

static void *serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	atomic_fetch_sub(&connections, 1);
	return NULL;
}

static void accept_one(int listener)
{
	pthread_t thread;
	int fd = legacy_accept(listener);
	if (fd < 0)
		return;
	atomic_fetch_add(&connections, 1);
	if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0)
		legacy_die(4, "pthread_create");
	pthread_detach(thread);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--model=", strlen("--model=")) == 0)
			sscanf(argv[i], "--model=%31[^,],%31s", how, end);
	legacy_unbound = write_files;
	legacy_start(argc, argv);
	legacy_waiting();
	for (;;) {
		struct pollfd p = {.fd = legacy.listeners[0], .events = POLLIN};
		if (poll(&p, 1, legacy_dying ? 1 : -1) > 0)
			accept_one(p.fd);
		if (legacy_dying && !atomic_load(&connections))
			exit(1);
	}
}
