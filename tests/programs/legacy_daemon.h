/* SPDX-License-Identifier: MIT */
/*
 * Options, habits and failures of the test daemons: the body of legacy.h, which includes it.  Each
 * test daemon is one file and one translation unit.
 */
#pragma once

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
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
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"
#include "tests/programs/legacy_listener.h"
#include "tests/programs/legacy_privileges.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct legacy legacy = {
        .tag = "none", .backlog = 128, .style = "", .type = SOCK_STREAM, .receive = "recvfrom"};
int legacy_worker;
volatile sig_atomic_t legacy_rebind_wanted;
void (*legacy_unbound)(void);
volatile sig_atomic_t legacy_dying;

enum stage { STAGE_START, STAGE_BOUND, STAGE_LISTENING, STAGE_WAITING };
static const char *const stage_names[] = {"start", "bound", "listening", "waiting"};

static struct {
	const char *fail;
	enum stage fail_at;
	int start_delay;
	int stop_delay;
	const char *lock;
	int ready_after;
	int ready_fd;
	bool notify;
	char **argv;
} settings = {.ready_fd = -1};

_Noreturn void legacy_die(int status, const char *what)
{
	fprintf(stderr, "%s %s: %s: %s\n", legacy.program, legacy.tag, what, strerror(errno));
	exit(status);
}

static void sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		continue;
}

/* ---- habits ---- */

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

/* As dnsmasq: what /proc/self/fd names. */
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
	int log = dup(STDERR_FILENO); /* daemon() points it to /dev/null */
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

/* Starts itself again before anything else, as haproxy's or squid's master does. */
static void habit_exec_early(void)
{
	if (getenv("LEGACY_AGAIN"))
		return;
	setenv("LEGACY_AGAIN", "1", 1);
	execvp(settings.argv[0], settings.argv);
	legacy_die(4, "exec");
}

/* A feature test: may I bind and listen at all? */
static void habit_port0(void)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, 1) < 0)
		legacy_die(4, "port 0");
	close(fd);
}

/* Binds in the one process, listens and serves in the other. */
static void habit_fork_after_bind(void)
{
	pid_t pid = fork();
	if (pid < 0)
		legacy_die(4, "fork");
	if (pid > 0)
		_exit(0);
	setsid();
}

/* Two processes that serve, and call listen() on the same sockets at the same time. */
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

/* Keeps its listeners across an exec of itself, by number. */
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

/* What has been announced is there; that clients give up is not known. */
static void habit_strict_accept(void)
{
	accept_strictly = true;
}

/* accept() then wakes up every 100 ms with EAGAIN, though the listener is blocking. */
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

/* Waits with poll() or the like and wants its accept() to block, whatever somebody set before. */
static void habit_blocking_late(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		if (fcntl(legacy.listeners[i], F_SETFL,
		            fcntl(legacy.listeners[i], F_GETFL) & ~O_NONBLOCK) < 0)
			legacy_die(4, "fcntl");
	legacy.nonblocking = false;
}

/* Its own address is taken, and it must be told so. */
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

/* Waits that the kernel refuses, also while it is not our turn. */
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

/* A runtime that looks where its signals interrupt it, as SBCL does: nothing may be blocked there. */
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

/* ---- failures ---- */

/* Not in the middle of a connection: what the client loses then is the daemon's own doing. */
static void die_soon(int signal)
{
	(void)signal;
	legacy_dying = 1;
}

/* A helper of its own session keeps every descriptor open; the daemon itself fails. */
static void fail_leaving_helper(void)
{
	if (fork() == 0) {
		setsid();
		signal(SIGTERM, SIG_IGN);
		for (;;)
			pause();
	}
	_exit(1);
}

static void fail_daemonised(void)
{
	if (daemon(1, 1) < 0)
		legacy_die(4, "daemon");
	sleep_ms(50);
	_exit(1);
}

static void fail(void)
{
	const char *how = settings.fail;
	if (strcmp(how, "exit0") == 0)
		_exit(0);
	if (strcmp(how, "exit1") == 0)
		_exit(1);
	if (strcmp(how, "abort") == 0)
		abort();
	if (strcmp(how, "segv") == 0)
		raise(SIGSEGV);
	if (strcmp(how, "hang") == 0)
		for (;;)
			pause();
	if (strcmp(how, "leave-helper") == 0)
		fail_leaving_helper();
	if (strcmp(how, "daemonise-then-fail") == 0)
		fail_daemonised();
	if (strcmp(how, "die-soon") == 0) {
		struct itimerval t = {.it_value.tv_usec = 50000};
		signal(SIGALRM, die_soon);
		setitimer(ITIMER_REAL, &t, NULL);
		return;
	}
	errno = EINVAL;
	legacy_die(2, how);
}

static void reach(enum stage stage)
{
	static const char again[] = "LEGACY_LISTENERS";
	for (size_t i = 0; i < COUNT(habits); i++)
		if (habit_chosen[i] && habits[i].stage == stage &&
		        !(habits[i].act == habit_exec_listening && getenv(again)))
			habits[i].act();
	if (settings.fail && settings.fail_at == stage)
		fail();
}

/* ---- readiness ---- */

/* As sd_notify() does it. */
static void notify(void)
{
	static const char ready[] = "STATUS=serving\nREADY=1\n";
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || strlen(path) >= sizeof(un.sun_path))
		return;
	memcpy(un.sun_path, path, strlen(path));
	if (path[0] == '@')
		un.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	(void)sendto(fd, ready, strlen(ready), MSG_NOSIGNAL, (struct sockaddr *)&un, length);
	close(fd);
}

static void announce(int signal)
{
	int error = errno;
	(void)signal;
	if (settings.notify)
		notify();
	if (settings.ready_fd >= 0) {
		(void)!write(settings.ready_fd, "\n", 1);
		close(settings.ready_fd);
	}
	errno = error;
}

void legacy_waiting(void)
{
	reach(STAGE_WAITING);
	if (!settings.notify && settings.ready_fd < 0)
		return;
	if (settings.ready_after == 0) {
		announce(0);
		return;
	}
	struct itimerval t = {
	        .it_value = {settings.ready_after / 1000, settings.ready_after % 1000 * 1000}};
	signal(SIGALRM, announce);
	setitimer(ITIMER_REAL, &t, NULL);
}

/* ---- what there may be only one of ---- */

/*
 * As databases do it: a lock on the data, for as long as the process lives.  It writes down who has
 * it, so that a test can see whether there were ever two.
 */
static void lock_data(const char *path)
{
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		legacy_die(4, path);
	if (fcntl(fd, F_SETLK, &whole) < 0)
		legacy_die(3, "its data is used by another process");
	dprintf(fd, "%s %d\n", legacy.tag, (int)getpid());
}

/* Writes back what is in memory before it ends. */
static void stop_slowly(int signal)
{
	(void)signal;
	sleep_ms(settings.stop_delay);
	_exit(0);
}

/* ---- signals that tests ask about ---- */

/* "waiter g1: signal 15", by functions that a signal handler may call. */
static void signal_report(int signal)
{
	const char digits[] = {(char)('0' + signal / 10), (char)('0' + signal % 10), '\n', '\0'};
	const char *parts[] = {
	        legacy.program, " ", legacy.tag, ": signal ", digits + (signal < 10)};
	char text[128];
	size_t length = 0;
	for (size_t i = 0; i < COUNT(parts); i++)
		for (const char *c = parts[i]; *c && length < sizeof(text); c++)
			text[length++] = *c;
	(void)!write(STDERR_FILENO, text, length);
}

static void signal_report_and_exit(int signal)
{
	signal_report(signal);
	_exit(0);
}

/* ---- options ---- */

static int choice(const char *text, const char *const *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, names[i]) == 0)
			return (int)i;
	errno = EINVAL;
	legacy_die(2, text);
}

static int socket_type(const char *text)
{
	static const char *const names[] = {"stream", "seqpacket", "dgram"};
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	return types[choice(text, names, COUNT(names))];
}

/* A wait is interrupted by it, and ends with EINTR. */
static void signal_interrupting(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	sigaction(number, &action, NULL);
}

static void rebind_wanted(int signal)
{
	(void)signal;
	legacy_rebind_wanted = 1;
}

static void options_parse(int argc, char **argv)
{
	static const struct option known[] = {{"tag", 1, NULL, 't'}, {"port", 1, NULL, 'p'},
	        {"family", 1, NULL, 'f'}, {"backlog", 1, NULL, 'b'}, {"nonblocking", 0, NULL, 'n'},
	        {"accept4", 0, NULL, '4'}, {"processes", 1, NULL, 'N'}, {"wait", 1, NULL, 'w'},
	        {"model", 1, NULL, 'w'}, {"stdio", 0, NULL, 's'}, {"habit", 1, NULL, 'h'},
	        {"fail", 1, NULL, 'F'}, {"fail-at", 1, NULL, 'A'}, {"start-delay", 1, NULL, 'd'},
	        {"ready-after", 1, NULL, 'R'}, {"ready-fd", 1, NULL, 'r'}, {"notify", 0, NULL, 'y'},
	        {"report-signal", 1, NULL, 'S'}, {"exit-signal", 1, NULL, 'X'},
	        {"ignore-signal", 1, NULL, 'I'}, {"output", 1, NULL, 'o'}, {"ports", 1, NULL, 'P'},
	        {"unix", 1, NULL, 'u'}, {"type", 1, NULL, 'T'}, {"host", 1, NULL, 'H'},
	        {"reuseport", 2, NULL, 'e'}, {"respawn", 0, NULL, 'E'}, {"threads", 1, NULL, 'm'},
	        {"tcp", 0, NULL, 'c'}, {"receive", 1, NULL, 'v'}, {"delay-answer", 1, NULL, 'D'},
	        {"rebind-signal", 1, NULL, 'B'}, {"lock", 1, NULL, 'l'},
	        {"stop-delay", 1, NULL, 'L'}, {NULL, 0, NULL, 0}};
	int o;
	while ((o = getopt_long(argc, argv, "", known, NULL)) != -1)
		switch (o) {
		case 't': legacy.tag = optarg; break;
		case 'p': port_add(atoi(optarg)); break;
		case 'P': ports_add(optarg); break;
		case 'u': path_add(optarg); break;
		case 'T': legacy.type = socket_type(optarg); break;
		case 'H': host_set(optarg); break;
		case 'e': reuseport_set(optarg); break;
		case 'E': legacy.respawn = true; break;
		case 'm': legacy.threads = atoi(optarg); break;
		case 'c': legacy.tcp = true; break;
		case 'v': legacy.receive = optarg; break;
		case 'D': legacy.delay = atoi(optarg); break;
		case 'B': signal_interrupting(atoi(optarg), rebind_wanted); break;
		case 'f':
			places.family =
			        (enum family)choice(optarg, family_names, COUNT(family_names));
			break;
		case 'b': legacy.backlog = atoi(optarg); break;
		case 'n': legacy.nonblocking = true; break;
		case '4': legacy.with_accept4 = true; break;
		case 'N': legacy.processes = atoi(optarg); break;
		case 'w': legacy.style = optarg; break;
		case 's': legacy.stdio = true; break;
		case 'h': habit_choose(optarg); break;
		case 'F': settings.fail = optarg; break;
		case 'A':
			settings.fail_at =
			        (enum stage)choice(optarg, stage_names, COUNT(stage_names));
			break;
		case 'd': settings.start_delay = atoi(optarg); break;
		case 'l': settings.lock = optarg; break;
		case 'L': settings.stop_delay = atoi(optarg); break;
		case 'R': settings.ready_after = atoi(optarg); break;
		case 'r': settings.ready_fd = atoi(optarg); break;
		case 'y': settings.notify = true; break;
		case 'S': signal(atoi(optarg), signal_report); break;
		case 'X': signal(atoi(optarg), signal_report_and_exit); break;
		case 'I': signal(atoi(optarg), SIG_IGN); break;
		case 'o': legacy.output = optarg; break;
		default: exit(2);
		}
}

/* ---- listeners ---- */

/* All sockets, then all binds, then all listens. */
static void listeners_open(void)
{
	listeners_make();
	if (legacy_unbound)
		legacy_unbound();
	listeners_bind();
	reach(STAGE_BOUND);
	listeners_listen();
}

void legacy_rebind(void)
{
	for (int i = 0; i < legacy.listener_count; i++)
		close(legacy.listeners[i]);
	listeners_make();
	listeners_bind();
	listeners_listen();
	legacy_rebind_wanted = 0;
	fprintf(stderr, "%s %s: bound again\n", legacy.program, legacy.tag);
}

/* After habit_exec_listening: the numbers are in the environment. */
static bool listeners_inherit(void)
{
	char *text = getenv("LEGACY_LISTENERS");
	if (!text)
		return false;
	for (char *end; legacy.listener_count < LEGACY_LISTENERS; text = end) {
		long fd = strtol(text, &end, 10);
		if (end == text)
			break;
		legacy.listeners[legacy.listener_count++] = (int)fd;
	}
	return true;
}

void legacy_start(int argc, char **argv)
{
	const char *slash = strrchr(argv[0], '/');
	legacy.program = slash ? slash + 1 : argv[0];
	settings.argv = argv;
	signal(SIGPIPE, SIG_IGN);
	options_parse(argc, argv);
	if (!listeners_inherit()) {
		if (settings.start_delay > 0)
			sleep_ms(settings.start_delay);
		reach(STAGE_START);
		if (settings.lock)
			lock_data(settings.lock);
		if (settings.stop_delay > 0)
			signal(SIGTERM, stop_slowly);
		if (legacy.reuseport == REUSEPORT_WORKER && legacy.processes > 0)
			return;
		listeners_open();
	}
	reach(STAGE_LISTENING);
}

/* ---- serving ---- */

int legacy_accept(int listener)
{
	int fd = legacy.with_accept4 ? accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)
	                             : accept(listener, NULL, NULL);
	bool may_be_empty = legacy.nonblocking || receive_timeout;
	if (fd < 0 && errno == ECONNABORTED && accept_strictly)
		legacy_die(4, "accept");
	if (fd < 0 && errno != EINTR && errno != ECONNABORTED && (errno != EAGAIN || !may_be_empty))
		legacy_die(4, "accept");
	return fd;
}

static bool answer_line(int fd, const char *line)
{
	char text[LEGACY_LINE];
	int length = snprintf(text, sizeof(text), "GEN %s %d\n", legacy.tag,
	        (int)(pid_before_sandbox ? pid_before_sandbox : getpid()));
	if (strcmp(line, "hello") != 0)
		length = snprintf(text, sizeof(text), "ERR\n");
	return write(fd, text, (size_t)length) == length;
}

int legacy_answer(int fd, struct legacy_line *line)
{
	int answered = 0;
	ssize_t n = read(fd, line->text + line->length, sizeof(line->text) - line->length);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	line->length += (size_t)n;
	line->asked = true;
	for (char *end; (end = memchr(line->text, '\n', line->length)); answered++) {
		size_t used = (size_t)(end - line->text) + 1;
		*end = '\0';
		if (!answer_line(fd, line->text))
			return -1;
		line->length -= used;
		memmove(line->text, line->text + used, line->length);
	}
	return line->length < sizeof(line->text) ? answered : -1;
}

/* As old servers do it: a FILE for each direction.  fclose() closes behind everybody's back. */
static void serve_stdio(int fd)
{
	bool asked = false;
	char line[LEGACY_LINE];
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	if (!in || !out)
		legacy_die(4, "fdopen");
	while (fgets(line, sizeof(line), in)) {
		fprintf(out, strcmp(line, "hello\n") == 0 ? "GEN %s %d\n" : "ERR\n", legacy.tag,
		        (int)getpid());
		fflush(out);
		asked = true;
	}
	if (!asked)
		fprintf(stderr, "%s %s: a silent connection\n", legacy.program, legacy.tag);
	fclose(in);
	fclose(out);
}

static void wait_readable(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	if (legacy.with_accept4) /* the connection does not block */
		poll(&p, 1, -1);
}

void legacy_close(int fd, const struct legacy_line *line)
{
	if (!line->asked)
		fprintf(stderr, "%s %s: a silent connection\n", legacy.program, legacy.tag);
	close(fd);
}

void legacy_serve(int fd)
{
	struct legacy_line line = {.length = 0};
	if (legacy.stdio) {
		serve_stdio(fd);
		return;
	}
	do
		wait_readable(fd);
	while (legacy_answer(fd, &line) >= 0);
	legacy_close(fd, &line);
}

void legacy_serve_one(int fd)
{
	struct legacy_line line = {.length = 0};
	do
		wait_readable(fd);
	while (legacy_answer(fd, &line) == 0);
	legacy_close(fd, &line);
}

enum { WORKERS_MOST = 64 };
static pid_t worker_pids[WORKERS_MOST];

/* False: in the child, which goes on to serve. */
static bool worker_fork(int number)
{
	pid_t pid = fork();
	if (pid < 0)
		legacy_die(4, "fork");
	if (pid > 0) {
		worker_pids[number] = pid;
		return true;
	}
	legacy_worker = number;
	if (legacy.reuseport == REUSEPORT_WORKER) {
		listeners_open();
		reach(STAGE_LISTENING);
	} else if (legacy.reuseport == REUSEPORT_MASTER) {
		listeners_choose(number);
	}
	return false;
}

void legacy_prefork(void)
{
	if (legacy.processes > WORKERS_MOST) {
		errno = E2BIG;
		legacy_die(2, "--processes");
	}
	for (int i = 0; i < legacy.processes; i++)
		if (!worker_fork(i))
			return;
	while (legacy.processes > 0) {
		pid_t pid = wait(NULL);
		if (pid < 0 && errno == ECHILD)
			exit(0);
		for (int i = 0; pid > 0 && legacy.respawn && i < legacy.processes; i++)
			if (worker_pids[i] == pid && !worker_fork(i))
				return;
	}
}
