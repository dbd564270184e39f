/* SPDX-License-Identifier: MIT */
/*
 * Part of legacy_daemon.h.  The habits of the test daemons (--habit): what real daemons do with
 * descriptors, processes and listeners.  Each habit has a stage of the start at which it takes
 * place (table `habits` below).  The habits with paths are in legacy_listener.h, those with
 * privileges in legacy_privileges.h.
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include "tests/programs/legacy_listener.h"
#include "tests/programs/legacy_privileges.h"
#include "tests/programs/legacy_settings.h"

static void habit_close_loop(void)
{
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = 3; fd < (int)limit.rlim_cur; fd++)
		close(fd);
}

static void habit_close_range(void)
{
	close_range(3, ~0U, 0);
}

static void habit_closefrom(void)
{
	closefrom(3);
}

/* Like dnsmasq: closes what /proc/self/fd names. */
static void habit_close_proc(void)
{
	DIR *directory = opendir("/proc/self/fd");
	if (!directory)
		legacy_die(4, "opendir");
	for (struct dirent *entry; (entry = readdir(directory));) {
		int fd = atoi(entry->d_name);
		if (fd > 2 && fd != dirfd(directory))
			close(fd);
	}
	closedir(directory);
}

static void habit_daemon(void)
{
	int log = dup(STDERR_FILENO); /* daemon() redirects stderr to /dev/null */
	if (daemon(1, 0) < 0)
		legacy_die(4, "daemon");
	dup2(log, STDERR_FILENO);
	close(log);
}

static void habit_double_fork(void)
{
	if (fork() > 0)
		_exit(0);
	setsid();
	if (fork() > 0)
		_exit(0);
}

/* Executes itself again before anything else, as the masters of haproxy and squid do. */
static void habit_exec_early(void)
{
	if (getenv("LEGACY_AGAIN"))
		return;
	setenv("LEGACY_AGAIN", "1", 1);
	execvp(settings.argv[0], settings.argv);
	legacy_die(4, "exec");
}

/* A feature test: can the daemon bind and listen at all? */
static void habit_port0(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, 1) < 0)
		legacy_die(4, "port 0");
	close(fd);
}

/* Binds in one process; listens and serves in its child. */
static void habit_fork_after_bind(void)
{
	pid_t pid = fork();
	if (pid < 0)
		legacy_die(4, "fork");
	if (pid > 0)
		_exit(0);
	setsid();
}

/* Forks: two processes call listen() on the same sockets at the same time, and serve. */
static void habit_listen_together(void)
{
	_Atomic int *there = mmap(
	        NULL, sizeof(*there), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid = there == MAP_FAILED ? -1 : fork();
	if (pid < 0)
		legacy_die(4, "fork");
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGTERM);
	for ((*there)++; *there < 2;)
		sched_yield();
}

/* Executes itself again and keeps its listeners; their numbers are in the environment. */
static void habit_exec_listening(void)
{
	char text[16 * LEGACY_LISTENERS] = "";
	for (int i = 0; i < legacy.listener_count; i++)
		sprintf(text + strlen(text), "%d ", legacy.listeners[i]);
	setenv("LEGACY_LISTENERS", text, 1);
	execvp(settings.argv[0], settings.argv);
	legacy_die(4, "exec");
}

static void habit_options_late(void)
{
	int one = 1, seconds = 1, size = 65536;
	for (int i = 0; i < legacy.listener_count; i++) {
		int fd = legacy.listeners[i];
		if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)) < 0 ||
		        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
		        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)) < 0 ||
		        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) < 0)
			legacy_die(4, "setsockopt");
	}
}

static bool receive_timeout;

static bool accept_strictly;

/* Ends at ECONNABORTED, like a daemon that does not know that clients may give up. */
static void habit_strict_accept(void)
{
	accept_strictly = true;
}

/* accept() then returns EAGAIN every 100 ms, although the listener is blocking. */
static void habit_receive_timeout(void)
{
	receive_timeout = true;
	struct timeval t = {.tv_usec = 100000};
	for (int i = 0; i < legacy.listener_count; i++)
		if (setsockopt(legacy.listeners[i], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) < 0)
			legacy_die(4, "setsockopt");
}

static void habit_listen_twice(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (listen(legacy.listeners[i], 16) < 0)
			legacy_die(4, "listen again");
}

static void habit_move(void)
{
	for (int i = 0; i < legacy.listener_count; i++) {
		if (dup2(legacy.listeners[i], 100 + i) < 0)
			legacy_die(4, "dup2");
		close(legacy.listeners[i]);
		legacy.listeners[i] = 100 + i;
	}
}

static void habit_fcntl_late(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (fcntl(legacy.listeners[i], F_SETFL,
		            fcntl(legacy.listeners[i], F_GETFL) | O_NONBLOCK) < 0)
			legacy_die(4, "fcntl");
	legacy.nonblocking = true;
}

static void habit_ioctl_late(void)
{
	int one = 1;
	for (int i = 0; i < legacy.listener_count; i++)
		if (ioctl(legacy.listeners[i], FIONBIO, &one) < 0)
			legacy_die(4, "ioctl");
	legacy.nonblocking = true;
}

/* Makes accept() block, although the daemon waits with poll() or the like. */
static void habit_blocking_late(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (fcntl(legacy.listeners[i], F_SETFL,
		            fcntl(legacy.listeners[i], F_GETFL) & ~O_NONBLOCK) < 0)
			legacy_die(4, "fcntl");
	legacy.nonblocking = false;
}

/* A second bind to its own address must fail with EADDRINUSE. */
static void habit_bind_twice(void)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	if (getsockname(legacy.listeners[0], (struct sockaddr *)&address, &length) < 0)
		legacy_die(4, "getsockname");
	int fd = socket(address.ss_family, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&address, length) == 0 || errno != EADDRINUSE)
		legacy_die(5, "a second bind to the same address");
	close(fd);
}

static void shutdown_and_exit(int signal)
{
	(void)signal;
	for (int i = 0; i < legacy.listener_count; i++)
		shutdown(legacy.listeners[i], SHUT_RDWR);
	_exit(0);
}

static void habit_shutdown_at_exit(void)
{
	signal(SIGTERM, shutdown_and_exit);
}

/* Waits that the kernel must refuse, also while the gate is closed. */
static void habit_wrong_timeouts(void)
{
	struct timespec wrong = {.tv_nsec = 1000000000};
	struct timeval negative = {.tv_sec = -1};
	struct pollfd one = {.fd = legacy.listeners[0], .events = POLLIN};
	if (ppoll(&one, 1, &wrong, NULL) >= 0 || errno != EINVAL)
		legacy_die(5, "ppoll");
	if (pselect(0, NULL, NULL, NULL, &wrong, NULL) >= 0 || errno != EINVAL)
		legacy_die(5, "pselect");
	if (select(0, NULL, NULL, NULL, &negative) >= 0 || errno != EINVAL)
		legacy_die(5, "select");
}

/* Like SBCL: its signal handler aborts if another signal was blocked where it interrupted. */
static void look_at_interrupted(int number, siginfo_t *info, void *interrupted)
{
	const ucontext_t *context = interrupted;
	(void)info;
	for (int other = 1; other < 32; other++)
		if (other != number && sigismember(&context->uc_sigmask, other))
			abort();
	static const char heard[] = "heard\n";
	(void)!write(STDERR_FILENO, heard, sizeof(heard) - 1);
}

static void habit_strict_signals(void)
{
	struct sigaction action = {
	        .sa_sigaction = look_at_interrupted, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(SIGUSR1, &action, NULL);
}

static const struct habit {
	const char *name;
	enum stage stage;
	void (*act)(void);
} habits[] = {
        {"exec-early", STAGE_START, habit_exec_early},
        {"close-loop", STAGE_START, habit_close_loop},
        {"close-range", STAGE_START, habit_close_range},
        {"closefrom", STAGE_START, habit_closefrom},
        {"close-proc", STAGE_START, habit_close_proc},
        {"daemon", STAGE_START, habit_daemon},
        {"double-fork", STAGE_START, habit_double_fork},
        {"drop-uid-early", STAGE_START, habit_drop_uid},
        {"port-0", STAGE_START, habit_port0},
        {"unlink-first", STAGE_START, habit_unlink_first},
        {"connect-test", STAGE_START, habit_connect_test},
        {"chdir-first", STAGE_START, habit_chdir_first},
        {"temp-rename", STAGE_START, habit_temporary_name},
        {"backup-rename", STAGE_START, habit_temporary_name},
        {"chdir-first", STAGE_BOUND, habit_chdir_back},
        {"backup-rename", STAGE_BOUND, habit_rename_with_backup},
        {"chmod-after-bind", STAGE_BOUND, habit_chmod},
        {"chroot-after-bind", STAGE_BOUND, habit_chroot},
        {"temp-rename", STAGE_LISTENING, habit_rename},
        {"unlink-at-exit", STAGE_LISTENING, habit_unlink_at_exit},
        {"fork-after-bind", STAGE_BOUND, habit_fork_after_bind},
        {"listen-together", STAGE_BOUND, habit_listen_together},
        {"exec-listening", STAGE_LISTENING, habit_exec_listening},
        {"options-late", STAGE_LISTENING, habit_options_late},
        {"receive-timeout", STAGE_LISTENING, habit_receive_timeout},
        {"listen-twice", STAGE_LISTENING, habit_listen_twice},
        {"move", STAGE_LISTENING, habit_move},
        {"fcntl-late", STAGE_LISTENING, habit_fcntl_late},
        {"ioctl-late", STAGE_LISTENING, habit_ioctl_late},
        {"blocking-late", STAGE_LISTENING, habit_blocking_late},
        {"bind-twice", STAGE_LISTENING, habit_bind_twice},
        {"drop-uid", STAGE_LISTENING, habit_drop_uid},
        {"chroot", STAGE_LISTENING, habit_empty_root},
        {"pivot-root", STAGE_LISTENING, habit_pivot_root},
        {"capabilities", STAGE_LISTENING, habit_capabilities},
        {"limits", STAGE_LISTENING, habit_limits},
        {"unshare-network", STAGE_LISTENING, habit_unshare_network},
        {"unshare-user", STAGE_LISTENING, habit_unshare_user},
        {"unshare-pid", STAGE_LISTENING, habit_unshare_pid},
        {"all-of-it", STAGE_LISTENING, habit_all_of_it},
        {"daemon-late", STAGE_LISTENING, habit_daemon},
        {"shutdown-at-exit", STAGE_LISTENING, habit_shutdown_at_exit},
        {"wrong-timeouts", STAGE_LISTENING, habit_wrong_timeouts},
        {"sandbox-kill", STAGE_WAITING, habit_sandbox_kill},
        {"sandbox-error", STAGE_WAITING, habit_sandbox_error},
        {"strict-accept", STAGE_LISTENING, habit_strict_accept},
        {"strict-signals", STAGE_LISTENING, habit_strict_signals},
};
static bool habit_chosen[COUNT(habits)];

static void habit_choose(const char *name)
{
	bool known = false;
	for (size_t i = 0; i < COUNT(habits); i++)
		if (strcmp(habits[i].name, name) == 0)
			habit_chosen[i] = known = true;
	if (known)
		return;
	errno = EINVAL;
	legacy_die(2, name);
}
