/* SPDX-License-Identifier: MIT */
/*
 * A daemon with children.  Takes the options of legacy_daemon.h; --model is one of (table `models`
 * below):
 *
 *   child-NAME    after each connection, a child or thread made by NAME closes and replaces its own
 *                 copies of all descriptors; the daemon waits with epoll, a thread per connection
 *   inetd-NAME    starts another program by NAME, which gets the close-on-exec listener as
 *                 descriptor 0 and serves; the daemon waits for the program's end
 *   service       that program: accepts from descriptor 0
 *   helpers       starts programs that get no listener, in every way; each appends what it sees to
 *                 the --output file; then the daemon serves
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

extern char **environ;

static char **words; /* argv */
static int epoll = -1;

#define listener legacy.listeners[0]

static void require(bool good, const char *what)
{
	if (!good)
		legacy_die(4, what);
}

static void *thread_serve(void *fd)
{
	legacy_serve((int)(intptr_t)fd);
	return NULL;
}

static void serve(int fd)
{
	pthread_t thread;
	require(pthread_create(&thread, NULL, thread_serve, (void *)(intptr_t)fd) == 0, "thread");
	pthread_detach(thread);
}

static void ended(pid_t pid)
{
	int status;
	require(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, "child");
}

/* ---- child-: what a child does to its descriptors does not concern the daemon ---- */

static void wreck(void)
{
	int nothing = open("/dev/null", O_RDONLY);
	close(listener);
	dup2(nothing, epoll);
	close(epoll);
	dup2(nothing, listener);
	fcntl(listener, F_SETFL, 0);
	close_range(3, ~0u, 0);
}

static void by_fork(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		wreck();
		_exit(0);
	}
	ended(pid);
}

static void by_fork_closefrom(void)
{
	pid_t pid = fork();
	if (pid == 0) {
		closefrom(3);
		_exit(0);
	}
	ended(pid);
}

static void by_fork_unshare(void)
{
	pid_t pid = fork();
	if (pid == 0)
		_exit(close_range(3, ~0u, CLOSE_RANGE_UNSHARE) < 0);
	ended(pid);
}

static void by_vfork(void)
{
	pid_t pid = vfork();
	if (pid == 0) {
		wreck();
		_exit(0);
	}
	ended(pid);
}

static void by_vfork_exec(void)
{
	pid_t pid = vfork();
	if (pid == 0) {
		wreck();
		execl("/bin/true", "true", NULL);
		_exit(9);
	}
	ended(pid);
}

static void by_spawn(void)
{
	char *const arguments[] = {"true", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, listener);
	posix_spawn_file_actions_adddup2(&actions, 0, epoll);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	require(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ) == 0, "spawn");
	posix_spawn_file_actions_destroy(&actions);
	ended(pid);
}

static void *thread_unshare(void *unused)
{
	require(close_range(3, ~0u, CLOSE_RANGE_UNSHARE) == 0, "close_range");
	return unused;
}

/* Only the thread loses the descriptors. */
static void by_thread_unshare(void)
{
	pthread_t thread;
	require(pthread_create(&thread, NULL, thread_unshare, NULL) == 0, "thread");
	pthread_join(thread, NULL);
}

static void loop_child(void (*act)(void))
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 17};
	epoll = epoll_create1(EPOLL_CLOEXEC);
	require(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
	legacy_waiting();
	for (;;) {
		int fd = epoll_wait(epoll, &event, 1, -1) == 1 ? legacy_accept(listener) : -1;
		if (fd < 0)
			continue;
		act();
		serve(fd);
	}
}

/* ---- inetd-: the listener becomes another program's standard input ---- */

static const char **service(void)
{
	static const char *arguments[] = {
	        NULL, "--tag", NULL, "--model=service", "--nonblocking", NULL};
	arguments[0] = words[0];
	arguments[2] = legacy.tag;
	setenv("LEGACY_LISTENERS", "0 ", 1);
	return arguments;
}

static pid_t spawn(bool by_path, bool in_steps)
{
	posix_spawn_file_actions_t actions;
	pid_t pid = -1;
	char **arguments = (char **)service();
	posix_spawn_file_actions_init(&actions);
	if (in_steps) {
		posix_spawn_file_actions_adddup2(&actions, listener, 77);
		posix_spawn_file_actions_addclose(&actions, listener);
		posix_spawn_file_actions_adddup2(&actions, 77, 0);
		posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	} else {
		posix_spawn_file_actions_adddup2(&actions, listener, 0);
	}
	int error = by_path ? posix_spawnp(&pid, words[0], &actions, NULL, arguments, environ)
	                    : posix_spawn(&pid, words[0], &actions, NULL, arguments, environ);
	posix_spawn_file_actions_destroy(&actions);
	require(error == 0, "posix_spawn");
	return pid;
}

static pid_t inetd_spawn(void)
{
	return spawn(false, false);
}

static pid_t inetd_spawnp(void)
{
	return spawn(true, false);
}

static pid_t inetd_steps(void)
{
	return spawn(false, true);
}

static pid_t inetd_fork(void)
{
	char **arguments = (char **)service();
	pid_t pid = fork();
	if (pid == 0) {
		dup2(listener, 0);
		execv(words[0], arguments);
		_exit(9);
	}
	return pid;
}

static pid_t inetd_vfork(void)
{
	char **arguments = (char **)service();
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(listener, 0);
		execve(words[0], arguments, environ);
		_exit(9);
	}
	return pid;
}

static void loop_service(void)
{
	legacy_waiting();
	for (;;) {
		int fd = legacy_accept(0);
		if (fd >= 0)
			serve(fd);
	}
}

/* ---- helpers: programs that have nothing to do with the listener ---- */

/*
 * The command has no pipes, because the shell would have their ends open for a moment.  The
 * kernel's maps file says whether the library is in the shell; `env` does not show that.
 */
static const char *look(const char *name)
{
	static char text[4096];
	snprintf(text, sizeof(text),
	        "{ echo == %s; env; echo preloaded: $(grep -c libmoult.so /proc/$$/maps); "
	        "ls -l /proc/$$/fd; } >> %s",
	        name, legacy.output);
	return text;
}

static void spawn_helper(const char *name, const posix_spawn_file_actions_t *actions)
{
	char *const arguments[] = {"sh", "-c", (char *)look(name), NULL};
	pid_t pid = -1;
	require(posix_spawn(&pid, "/bin/sh", actions, NULL, arguments, environ) == 0, name);
	ended(pid);
}

/* The child closes its listener, or replaces it by `nothing`, before the exec. */
static void exec_helper(const char *name, pid_t (*start)(void), int nothing)
{
	char *const arguments[] = {"sh", "-c", (char *)look(name), NULL};
	pid_t pid = start();
	if (pid == 0) {
		if (nothing < 0)
			close(listener);
		else
			dup2(nothing, listener);
		execve("/bin/sh", arguments, environ);
		_exit(9);
	}
	ended(pid);
}

static void helpers(void)
{
	posix_spawn_file_actions_t actions;
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	fcntl(listener, F_SETFD, FD_CLOEXEC);
	spawn_helper("cloexec", NULL);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, nothing, 9);
	spawn_helper("another", &actions);
	posix_spawn_file_actions_adddup2(&actions, listener, 9);
	posix_spawn_file_actions_addclose(&actions, 9);
	spawn_helper("given-and-closed", &actions);
	posix_spawn_file_actions_destroy(&actions);

	fcntl(listener, F_SETFD, 0); /* from now on a child has to close the listener */
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclose(&actions, listener);
	spawn_helper("closed", &actions);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, listener, "/dev/null", O_RDONLY, 0);
	spawn_helper("opened", &actions);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	spawn_helper("closefrom", &actions);
	posix_spawn_file_actions_destroy(&actions);
	exec_helper("fork", fork, -1);
	exec_helper("fork-dup2", fork, nothing);
	close(nothing);
}

/* vfork() returns twice from its caller's frame, so exec_helper() cannot call it by a pointer. */
static void helpers_of_vfork(void)
{
	char *const arguments[] = {"sh", "-c", (char *)look("vfork"), NULL};
	pid_t pid = vfork();
	if (pid == 0) {
		close(listener);
		execve("/bin/sh", arguments, environ);
		_exit(9);
	}
	ended(pid);
	look("vfork-dup2");
	pid = vfork();
	if (pid == 0) {
		dup2(0, listener);
		execve("/bin/sh", arguments, environ);
		_exit(9);
	}
	ended(pid);
}

static const struct {
	const char *name;
	void (*child)(void);
	pid_t (*inetd)(void);
} models[] = {
        {"child-fork", by_fork, NULL},
        {"child-fork-closefrom", by_fork_closefrom, NULL},
        {"child-fork-unshare", by_fork_unshare, NULL},
        {"child-vfork", by_vfork, NULL},
        {"child-vfork-exec", by_vfork_exec, NULL},
        {"child-spawn", by_spawn, NULL},
        {"child-thread-unshare", by_thread_unshare, NULL},
        {"inetd-spawn", NULL, inetd_spawn},
        {"inetd-spawnp", NULL, inetd_spawnp},
        {"inetd-steps", NULL, inetd_steps},
        {"inetd-fork", NULL, inetd_fork},
        {"inetd-vfork", NULL, inetd_vfork},
};

int main(int argc, char **argv)
{
	words = argv;
	legacy_start(argc, argv);
	if (strcmp(legacy.style, "service") == 0)
		loop_service();
	if (strcmp(legacy.style, "helpers") == 0) {
		helpers();
		helpers_of_vfork();
		loop_child(by_fork);
	}
	for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++) {
		if (strcmp(models[i].name, legacy.style) != 0)
			continue;
		if (models[i].child)
			loop_child(models[i].child);
		fcntl(listener, F_SETFD, FD_CLOEXEC);
		ended(models[i].inetd());
		return 0;
	}
	errno = EINVAL;
	legacy_die(2, "--model");
}
