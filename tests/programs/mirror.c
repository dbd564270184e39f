/* SPDX-License-Identifier: MIT */
/*
 * Writes down what a program can see of itself and of the calls it makes: environment, descriptors,
 * signals, and the results of the socket calls in their usual and unusual uses.  Two of these,
 * written with and without the library, must be the same text.
 *
 * With --port it goes on to serve; what it then starts must not see the library either, and that is
 * written to OUTPUT.child.  With --model=calls too it makes the calls before it serves.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

extern char **environ;
extern int __poll_chk(struct pollfd *, nfds_t, int, size_t); /* what -D_FORTIFY_SOURCE calls */

static FILE *out;
static bool with_launcher; /* or for comparison with such a run */

/* Wrong on purpose, and volatile so that no compiler looks through it. */
static void *volatile nowhere;

/* "what = result errno" */
static int seen(int result, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int seen(int result, const char *format, ...)
{
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	vfprintf(out, format, arguments);
	va_end(arguments);
	fprintf(out, " = %d, errno %d\n", result, result < 0 ? error : 0);
	errno = 0;
	return result;
}

static void write_environment(void)
{
	for (char **entry = environ; *entry; entry++)
		fprintf(out, "environment %s\n", *entry);
}

static void write_descriptors(void)
{
	for (int fd = 0; fd < 20000; fd++) {
		struct stat status;
		int flags = fcntl(fd, F_GETFD);
		if (flags < 0 || fd == fileno(out) || fstat(fd, &status) < 0)
			continue;
		fprintf(out, "descriptor %d: flags %d, status flags %o, mode %o\n", fd, flags,
		        (unsigned)fcntl(fd, F_GETFL), status.st_mode);
	}
}

static void write_signals(void)
{
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) == 0)
			fprintf(out, "signal %d: %s%s\n", number,
			        action.sa_handler == SIG_DFL   ? "default"
			        : action.sa_handler == SIG_IGN ? "ignored"
			                                       : "handled",
			        sigismember(&mask, number) ? ", blocked" : "");
	}
}

/* What exec() keeps. Of a timer only whether it is set: time passes. */
static void write_inherited(void)
{
	static const int limits[] = {RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE,
	        RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK};
	static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit;
		getrlimit(limits[i], &limit);
		fprintf(out, "limit %d: %lld %lld\n", limits[i], (long long)limit.rlim_cur,
		        (long long)limit.rlim_max);
	}
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		struct itimerval timer;
		getitimer(timers[i], &timer);
		fprintf(out, "timer %d: %s, interval %ld\n", timers[i],
		        timer.it_value.tv_sec || timer.it_value.tv_usec ? "set" : "none",
		        timer.it_interval.tv_sec);
	}
	mode_t mask = umask(0);
	umask(mask);
	int death = 0, subreaper = 0;
	prctl(PR_GET_PDEATHSIG, &death);
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	fprintf(out, "umask %o, death signal %d, subreaper %d, dumpable %d, no new privileges %d\n",
	        mask, death, subreaper, prctl(PR_GET_DUMPABLE),
	        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	char directory[PATH_MAX] = "", adjustment[32] = "", line[256];
	if (readlink("/proc/self/cwd", directory, sizeof(directory) - 1) < 0)
		legacy_die(4, "cwd");
	FILE *file = fopen("/proc/self/oom_score_adj", "re");
	if (!file || !fgets(adjustment, sizeof(adjustment), file))
		legacy_die(4, "oom_score_adj");
	fclose(file);
	fprintf(out, "directory %s, nice %d, oom %s", directory, getpriority(PRIO_PROCESS, 0),
	        adjustment);
	file = fopen("/proc/self/status", "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "Cap", 3))
			fputs(line, out);
	if (file)
		fclose(file);
}

static void write_threads(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/task");
	if (!directory)
		legacy_die(4, "opendir");
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	fprintf(out, "threads %d\n", count);
}

/* An address on 127.0.0.1 that port 0 has given us. */
static struct sockaddr_in address_of(int fd)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	socklen_t length = sizeof(in);
	seen(getsockname(fd, (struct sockaddr *)&in, &length), "getsockname");
	fprintf(out, "  length %u family %d port %d\n", length, in.sin_family, in.sin_port != 0);
	return in;
}

static int connect_to(struct sockaddr_in in)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	seen(connect(fd, (struct sockaddr *)&in, sizeof(in)), "connect");
	return fd;
}

static void try_listener(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = seen(socket(AF_INET, SOCK_STREAM, 0), "socket");
	seen(accept(fd, NULL, NULL), "accept on a fresh socket");
	seen(bind(fd, (struct sockaddr *)&any, 3), "bind to a short address");
	seen(bind(fd, nowhere, 0), "bind to nothing");
	seen(bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind");
	struct sockaddr_in in = address_of(fd);
	seen(bind(fd, (struct sockaddr *)&any, sizeof(any)), "bind again");
	seen(accept(fd, NULL, NULL), "accept before listen");
	seen(listen(fd, 5), "listen");
	seen(listen(fd, 2), "listen again");
	int other = socket(AF_INET, SOCK_STREAM, 0);
	seen(bind(other, (struct sockaddr *)&in, sizeof(in)), "bind where another listens");
	close(other);

	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK), "F_SETFL");
	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(accept(fd, NULL, NULL), "accept, nobody there");
	int off = 0, on = 1;
	seen(ioctl(fd, FIONBIO, &off), "FIONBIO off");
	seen(fcntl(fd, F_GETFL), "F_GETFL");
	seen(ioctl(fd, FIONBIO, &on), "FIONBIO on");
	seen(ioctl(fd, FIONBIO, nowhere), "FIONBIO of nothing");
	seen(accept4(fd, NULL, NULL, 12345), "accept4 with wrong flags");

	int client = connect_to(in);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	seen(poll(&p, 1, 1000), "poll");
	fprintf(out, "  revents %d\n", p.revents);
	struct sockaddr_storage peer;
	socklen_t length = sizeof(peer);
	int connection = seen(accept(fd, (struct sockaddr *)&peer, &length), "accept");
	fprintf(out, "  length %u family %d\n", length, peer.ss_family);
	seen(fcntl(connection, F_GETFL), "F_GETFL of the connection");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen(close(connection), "close");
	seen(close(connection), "close again");
	close(client);
	client = connect_to(in);
	seen(accept4(fd, (struct sockaddr *)&peer, NULL, 0), "accept with a bad address");
	close(client);
	client = connect_to(in);
	connection = seen(accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), "accept4");
	seen(fcntl(connection, F_GETFL), "F_GETFL of the connection");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen(dup2(connection, fd + 50), "dup2 of the connection");
	close(fd + 50);
	close(connection);
	close(client);

	seen(shutdown(fd, SHUT_RD), "shutdown of the listener");
	seen(accept(fd, NULL, NULL), "accept after it");
	close(fd);
}

static void try_epoll(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 0x123456789abcdef0}, events[4];
	int epoll = seen(epoll_create(0), "epoll_create(0)");
	epoll = seen(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "add before bind");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), "add again");
	bind(fd, (struct sockaddr *)&any, sizeof(any));
	listen(fd, 5);
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait, nobody there");
	int client = connect_to(address_of(fd));
	seen(epoll_wait(epoll, events, 4, 1000), "epoll_wait");
	fprintf(out, "  events %x data %llx\n", events[0].events,
	        (unsigned long long)events[0].data.u64);
	seen(epoll_wait(epoll, events, 0, 0), "epoll_wait for none");
	seen(epoll_wait(epoll, nowhere, 4, 0), "epoll_wait to nowhere");
	seen(epoll_pwait(epoll, events, 4, 0, NULL), "epoll_pwait");
	event.events = EPOLLIN | EPOLLET | EPOLLONESHOT;
	seen(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event), "modify");
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait");
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait after the one shot");
	seen(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), "delete");
	seen(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), "delete again");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, epoll, &event), "add itself");
	seen(epoll_ctl(epoll, EPOLL_CTL_ADD, -1, &event), "add -1");
	seen(epoll_ctl(fd, EPOLL_CTL_ADD, fd, &event), "add to no epoll");
	seen(epoll_wait(fd, events, 4, 0), "epoll_wait on no epoll");
	seen(epoll_wait(-1, events, 4, 0), "epoll_wait on -1");
	close(seen(accept(fd, NULL, NULL), "accept"));
	close(client);
	close(fd);
	close(epoll);
	seen(epoll_wait(epoll, events, 4, 0), "epoll_wait on a closed one");
}

static void try_descriptors(void)
{
	seen(close(-1), "close(-1)");
	seen(close(19999), "close of none");
	seen(dup(-1), "dup(-1)");
	seen(dup2(19999, 5), "dup2 of none");
	seen(dup2(19999, 19999), "dup2 of none to itself");
	seen(dup2(0, 0), "dup2(0, 0)");
	seen(dup3(0, 0, 0), "dup3(0, 0)");
	seen(dup3(0, 200, 12345), "dup3 with wrong flags");
	seen(dup3(0, 200, O_CLOEXEC), "dup3");
	seen(fcntl(200, F_GETFD), "F_GETFD of it");
	seen(fcntl(0, F_DUPFD, 300), "F_DUPFD");
	seen(fcntl(0, F_DUPFD_CLOEXEC, 300), "F_DUPFD_CLOEXEC");
	seen(fcntl(300, 9999), "fcntl of no sense");
	seen(close_range(200, 400, 0), "close_range");
	seen(close_range(400, 200, 0), "close_range backwards");
	seen(fcntl(300, F_GETFD), "F_GETFD of a closed one");
	seen((int)syscall(SYS_close, -1), "syscall(SYS_close, -1)");
	seen((int)syscall(SYS_getpid) == getpid(), "syscall(SYS_getpid)");
	seen((int)syscall(-1), "syscall(-1)");
	seen(listen(0, 1), "listen on no socket");
	seen(bind(0, nowhere, 0), "bind of no socket");
	seen(shutdown(0, SHUT_RD), "shutdown of no socket");
	seen(accept(19999, NULL, NULL), "accept on none");
	fd_set set;
	struct timeval none = {0, 0};
	FD_ZERO(&set);
	FD_SET(199, &set);
	seen(select(200, &set, NULL, NULL, &none), "select of none");
	struct pollfd p = {.fd = 199, .events = POLLIN};
	seen(poll(&p, 1, 0), "poll of none");
	fprintf(out, "  revents %d\n", p.revents);
	p.fd = -1;
	seen(poll(&p, 1, 0), "poll of -1");
	if (!with_launcher) /* POSIX promises no EFAULT, and there the library looks itself */
		seen(poll(nowhere, 1, 0), "poll of nowhere");
	/* What is free is what was free before: nothing of ours took a low number. */
	seen(dup(0), "the lowest free descriptor");
	close_range((unsigned)fileno(out) + 1, 100, 0);
}

/* ---- the same past libc's wrappers, and closes inside libc ---- */

static void try_streams(void)
{
	FILE *stream = fdopen(dup(0), "r");
	int fd = fileno(stream);
	seen(fclose(stream), "fclose");
	seen(fcntl(fd, F_GETFD), "F_GETFD after fclose");
	stream = fdopen(dup(0), "r");
	fd = fileno(stream);
	seen(close(fd), "close under a stream");
	seen(fclose(stream), "fclose after it");
	stream = fopen("/dev/null", "re");
	fd = fileno(stream);
	stream = freopen("/dev/zero", "re", stream);
	seen(stream ? fileno(stream) - fd : -1, "freopen keeps the number");
	seen(fcntl(fd, F_GETFD), "F_GETFD after freopen");
	stream = freopen("/nowhere/at/all", "r", stream);
	seen(stream ? 0 : -1, "freopen of nothing");
	seen(fcntl(fd, F_GETFD), "F_GETFD after it");
	char text[8];
	stream = fmemopen(text, sizeof(text), "w");
	seen(fclose(stream), "fclose of no descriptor");
}

static void try_ranges(void)
{
	dup2(0, 250);
	seen(close_range(240, 260, CLOSE_RANGE_CLOEXEC), "close_range, CLOEXEC");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	seen(close_range(240, 260, 8), "close_range with a wrong flag");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	seen(close_range(240, 260, CLOSE_RANGE_UNSHARE), "close_range, UNSHARE");
	seen(fcntl(250, F_GETFD), "F_GETFD after it");
	dup2(0, 19000);
	closefrom(18000);
	seen(fcntl(19000, F_GETFD), "F_GETFD after closefrom");
}

static void try_system_calls(void)
{
	seen((int)syscall(SYS_dup, -1), "SYS_dup of -1");
	int fd = seen((int)syscall(SYS_dup, 0), "SYS_dup");
	seen((int)syscall(SYS_dup2, fd, 210), "SYS_dup2");
	seen((int)syscall(SYS_dup2, 210, 210), "SYS_dup2 to itself");
	seen((int)syscall(SYS_dup2, 19999, 19999), "SYS_dup2 of none to itself");
	seen((int)syscall(SYS_dup3, 210, 210, 0), "SYS_dup3 to itself");
	seen((int)syscall(SYS_fcntl, 210, F_DUPFD_CLOEXEC, 215), "SYS_fcntl, F_DUPFD_CLOEXEC");
	seen((int)syscall(SYS_fcntl, 215, F_GETFD), "SYS_fcntl, F_GETFD");
	seen((int)syscall(SYS_fcntl, 215, F_GETFL), "SYS_fcntl, F_GETFL");
	seen((int)syscall(SYS_fcntl, 215, 9999), "SYS_fcntl of no sense");
	int on = 1;
	seen((int)syscall(SYS_ioctl, 215, FIONBIO, &on), "SYS_ioctl, FIONBIO");
	seen((int)syscall(SYS_close_range, 200, 220, 0), "SYS_close_range");
	seen((int)syscall(SYS_close, 210), "SYS_close after it");
	close(fd);
}

/* "what = result errno", and whether some of the time was left. */
static void waited(long result, const struct timespec *left, const char *what)
{
	seen((int)result, "%s", what);
	if (left)
		fprintf(out, "  left: %s\n",
		        left->tv_sec >= 5000            ? "all"
		        : left->tv_sec || left->tv_nsec ? "some"
		                                        : "none");
}

static void try_waits(void)
{
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
	bind(fd, (struct sockaddr *)&any, sizeof(any));
	listen(fd, 5);
	struct epoll_event event = {.events = EPOLLIN}, events[4];
	seen((int)syscall(SYS_epoll_ctl, epoll, EPOLL_CTL_ADD, fd, &event), "SYS_epoll_ctl");
	struct pollfd p = {.fd = fd, .events = POLLIN};
	fd_set set;
	sigset_t none;
	sigemptyset(&none);
	struct {
		sigset_t *mask;
		size_t size;
	} good = {&none, 8}, bad = {&none, 7};
	for (int i = 0; i < 2; i++) { /* first nobody is there, then somebody */
		struct timespec t = {0, 1000000}, none_left = {0, 0}, wrong = {0, -1};
		struct timespec *limit = i ? &t : &none_left;
		if (i) {
			t.tv_sec = 4000;
			close(connect_to(address_of(fd)));
			poll(&p, 1, -1);
		}
		waited(syscall(SYS_epoll_wait, epoll, events, 4, 0), NULL, "SYS_epoll_wait");
		waited(syscall(SYS_epoll_pwait, epoll, events, 4, 0, NULL, 8), NULL,
		        "SYS_epoll_pwait");
		waited(syscall(SYS_epoll_pwait, epoll, events, 4, 0, &none, 7), NULL,
		        "SYS_epoll_pwait, a wrong mask");
		waited(syscall(SYS_epoll_pwait2, epoll, events, 4, limit, &none, 8), limit,
		        "SYS_epoll_pwait2");
		waited(syscall(SYS_epoll_pwait2, epoll, events, 4, &wrong, NULL, 8), NULL,
		        "SYS_epoll_pwait2, no such time");
		waited(epoll_pwait2(epoll, events, 4, limit, &none), limit, "epoll_pwait2");
		waited(syscall(SYS_poll, &p, 1, 0), NULL, "SYS_poll");
		waited(syscall(SYS_ppoll, &p, 1, limit, &none, 8), limit, "SYS_ppoll");
		waited(syscall(SYS_ppoll, &p, 1, limit, &none, 7), limit,
		        "SYS_ppoll, a wrong mask");
		waited(syscall(SYS_ppoll, &p, 1, &wrong, NULL, 8), NULL, "SYS_ppoll, no such time");
		if (!with_launcher)
			waited(syscall(SYS_ppoll, nowhere, 1, &t, NULL, 8), NULL,
			        "SYS_ppoll of nowhere");
		waited(ppoll(&p, 1, limit, &none), limit, "ppoll");
		waited(__poll_chk(&p, 1, 0, sizeof(p)), NULL, "__poll_chk");
		FD_ZERO(&set);
		FD_SET(fd, &set);
		struct timeval v = {i ? 4000 : 0, 1000}, negative = {-1, 0};
		waited(syscall(SYS_select, fd + 1, &set, NULL, NULL, &v),
		        &(struct timespec){v.tv_sec, v.tv_usec}, "SYS_select");
		FD_SET(fd, &set);
		waited(syscall(SYS_select, fd + 1, &set, NULL, NULL, &negative), NULL,
		        "SYS_select, no such time");
		waited(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, limit, &good), limit,
		        "SYS_pselect6");
		FD_SET(fd, &set);
		waited(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, limit, &bad), limit,
		        "SYS_pselect6, a wrong mask");
		FD_SET(fd, &set);
		waited(syscall(SYS_pselect6, fd + 1, &set, NULL, NULL, limit, nowhere), limit,
		        "SYS_pselect6, no mask");
	}
	int connection =
	        seen((int)syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC, 0, 0), "SYS_accept4");
	seen(fcntl(connection, F_GETFD), "F_GETFD of the connection");
	seen((int)syscall(SYS_shutdown, connection, SHUT_WR), "SYS_shutdown");
	close(connection);
	close(epoll);
	close(fd);
}

/* A set larger than the header's fd_set, as programs with many descriptors make it. */
static void try_large_select(void)
{
	static unsigned long words[64];
	fd_set *set = (void *)words;
	int ends[2];
	if (pipe(ends) < 0 || dup2(ends[0], 3000) < 0 || write(ends[1], "x", 1) != 1)
		legacy_die(4, "pipe");
	words[3000 / 64] |= 1ul << 3000 % 64;
	struct timeval none = {0, 0};
	seen(select(3001, set, NULL, NULL, &none), "select of 3000");
	seen((words[3000 / 64] >> 3000 % 64 & 1) == 1, "is it set");
	seen((int)syscall(SYS_select, 3001, set, NULL, NULL, &none), "SYS_select of 3000");
	close(ends[0]);
	close(ends[1]);
	close(3000);
}

static void try_file_actions(void)
{
	posix_spawn_file_actions_t actions;
	seen(posix_spawn_file_actions_init(&actions), "file actions");
	seen(posix_spawn_file_actions_addclose(&actions, -1), "close of -1");
	seen(posix_spawn_file_actions_adddup2(&actions, -1, 5), "dup2 of -1");
	seen(posix_spawn_file_actions_addopen(&actions, -1, "/", O_RDONLY, 0), "open as -1");
	seen(posix_spawn_file_actions_addclosefrom_np(&actions, -1), "closefrom -1");
	seen(posix_spawn_file_actions_adddup2(&actions, 19999, 5), "dup2 of none");
	pid_t pid;
	char *const arguments[] = {"true", NULL};
	seen(posix_spawn(&pid, "/bin/true", &actions, NULL, arguments, environ), "posix_spawn");
	seen(posix_spawn_file_actions_destroy(&actions), "destroy");
}

/* What a program started in each of these ways sees of its environment and descriptors. */
static void try_children(const char *path)
{
	char command[4096];
	char *const arguments[] = {"sh", "-c", command, NULL};
	int status;
	pid_t pid;
	const char *look =
	        "env | sort; ls -l /proc/self/fd | sed 's/.* \\([0-9]* ->\\)/\\1/' | sort";
	snprintf(command, sizeof(command), "{ echo fork and exec; %s; } >> %s", look, path);
	pid = fork();
	if (pid == 0) {
		execv("/bin/sh", arguments);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	pid = vfork();
	if (pid == 0) {
		execve("/bin/sh", arguments, environ);
		_exit(9);
	}
	waitpid(pid, &status, 0);
	snprintf(command, sizeof(command), "{ echo spawn; %s; } >> %s", look, path);
	if (posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0)
		waitpid(pid, &status, 0);
	snprintf(command, sizeof(command), "{ echo system; %s; } >> %s", look, path);
	status = system(command);
	snprintf(command, sizeof(command), "{ echo popen; %s; } >> %s", look, path);
	FILE *pipe = popen(command, "r");
	if (pipe)
		pclose(pipe);
}

/* One connection after the other, so that nothing but poll() and accept() happens. */
static void serve(void)
{
	legacy_waiting();
	for (;;) {
		struct pollfd p = {.fd = legacy.listeners[0], .events = POLLIN};
		if (poll(&p, 1, -1) < 1)
			continue;
		int fd = legacy_accept(p.fd);
		if (fd >= 0)
			legacy_serve_one(fd);
	}
}

int main(int argc, char **argv)
{
	legacy_start(argc, argv);
	out = fopen(legacy.output ? legacy.output : "/dev/stdout", "we");
	if (!out)
		legacy_die(2, legacy.output);
	for (int i = 1; i < argc; i++)
		fprintf(out, "argument %s\n", argv[i]);
	fprintf(out, "name %s, session leader %d\n", program_invocation_short_name,
	        getsid(0) == getpid());
	write_environment();
	write_descriptors();
	write_signals();
	write_inherited();
	write_threads();
	with_launcher = strcmp(legacy.style, "calls") == 0;
	if (legacy.listener_count == 0 || with_launcher) {
		try_descriptors();
		try_listener();
		try_epoll();
		try_streams();
		try_ranges();
		try_system_calls();
		try_waits();
		try_large_select();
		try_file_actions();
		write_descriptors();
		write_environment();
	}
	if (legacy.listener_count == 0) {
		fclose(out);
		return 7;
	}
	char child[4096];
	snprintf(child, sizeof(child), "%s.child", legacy.output);
	fclose(out);
	try_children(child);
	serve();
}
