/* SPDX-License-Identifier: MIT */
/*
 * A daemon that exercises what a preloaded library must not change.  Serves PORT (127.0.0.1, TCP
 * and UDP), answers each connection with "GEN TAG", and reports results on stderr.
 *
 *   guest vfork --tag TAG PORT    At SIGUSR1: vfork children put other files under its numbers.
 *   guest stack --tag TAG PORT    At SIGUSR2: makes waits and other calls in a signal handler on
 *                           the smallest alternate stack, and then in a coroutine with 4 KB of
 *                           stack.  Both stacks end at a guard page.
 *   guest epoll --tag TAG PORT    At SIGUSR1: epoll instances with two numbers or two processes.
 *   guest CALL --tag TAG PORT     Waits by poll, ppoll, select or pselect, 3 seconds each time.
 *                           Reports the begin of a wait, the end of 2 seconds, and whether a
 *                           time-out came within 4 seconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

static const char *tag;
static int listener, service, epoll;

static void say(const char *what)
{
	char line[200];
	int length = snprintf(line, sizeof(line), "guest %s: %s\n", tag, what);
	(void)!write(STDERR_FILENO, line, (size_t)length);
}

static void require(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "guest %s: %s: %s\n", tag, what, strerror(errno));
	exit(1);
}

static int make(int type, int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int one = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
	require(fd >= 0, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	require(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0, "bind");
	if (type == SOCK_STREAM)
		require(listen(fd, 50) == 0, "listen");
	return fd;
}

/* fds[0] is for the listener; the connections follow, until the client closes each. */
static struct pollfd fds[1000];
static int known = 1;

static void answer(void)
{
	char text[100];
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (fd < 0)
		return;
	int length = snprintf(text, sizeof(text), "GEN %s\n", tag);
	(void)!write(fd, text, (size_t)length);
	fds[known++] = (struct pollfd){.fd = fd, .events = POLLIN};
}

static void look_at(int i)
{
	char text[100];
	ssize_t length = read(fds[i].fd, text, sizeof(text));
	if (length > 0 || (length < 0 && errno == EAGAIN))
		return;
	close(fds[i].fd);
	fds[i] = fds[--known];
}

/* ---- vfork ---- */

static void told(const char *what, long result)
{
	char line[100];
	snprintf(line, sizeof(line), "%s: %ld %s", what, result, result < 0 ? strerror(errno) : "");
	say(line);
}

static void in_vfork_children(void)
{
	char byte;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int other = open("/dev/null", O_RDONLY | O_CLOEXEC);
	require(null > 0 && other > 0 && dup2(null, 0) == 0, "/dev/null");
	pid_t pid = vfork();
	if (!pid) { /* puts the sockets under numbers that are other files in the parent */
		struct epoll_event event = {.events = EPOLLIN};
		dup2(service, 0);
		fcntl(0, F_GETFL);
		epoll_ctl(epoll, EPOLL_CTL_MOD, 0, &event);
		dup2(listener, other);
		accept(other, NULL, NULL);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	told("the parent's 0", read(0, &byte, 1));
	told("the parent's other one", read(other, &byte, 1));
	volatile long results[6] = {0};
	volatile int errors[6] = {0};
	pid = vfork();
	if (!pid) { /* puts other files under the numbers of the sockets */
		struct pollfd one = {.fd = service, .events = POLLIN};
		dup2(null, service);
		dup2(null, listener);
		errno = 0;
		results[0] = read(service, &byte, 1);
		errors[0] = errno;
		results[1] = fcntl(listener, F_GETFL);
		results[2] = accept(listener, NULL, NULL);
		errors[2] = errno;
		results[3] = poll(&one, 1, 1000);
		results[4] = close(epoll);
		struct pollfd none = {.fd = null, .events = POLLIN};
		results[5] = poll(&none, 1, 0);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 6; i++) {
		errno = errors[i];
		told("in the child", results[i]);
	}
	told("the flags here", fcntl(listener, F_GETFL) & O_NONBLOCK);
	close(null);
	close(other);
}

/* ---- epoll instances with two numbers, or in two processes ---- */

static int watch(int fd, int operation, int watched)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = watched};
	return epoll_ctl(fd, operation, watched, &event);
}

/* Connects to the listener.  Returns the client's end; nobody has accepted yet. */
static int call(void)
{
	struct sockaddr_in address;
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
	                connect(fd, (struct sockaddr *)&address, length) == 0,
	        "connect");
	return fd;
}

static int is_woken(int fd)
{
	struct epoll_event event;
	int client = call(), result = epoll_wait(fd, &event, 1, 1000);
	close(accept(listener, NULL, NULL));
	close(client);
	return result;
}

static void by_two_numbers(void)
{
	int one = epoll_create1(EPOLL_CLOEXEC), watched = dup(listener);
	told("two numbers: add", watch(one, EPOLL_CTL_ADD, watched));
	int other = dup(one);
	told("two numbers: delete", watch(one, EPOLL_CTL_DEL, watched));
	told("two numbers: add by the other", watch(other, EPOLL_CTL_ADD, watched));
	told("two numbers: change", watch(one, EPOLL_CTL_MOD, watched));
	told("two numbers: woken", is_woken(other));
	told("two numbers: delete by the other", watch(other, EPOLL_CTL_DEL, watched));
	close(watched);
	close(other);
	close(one);
}

static void by_two_processes(void)
{
	char byte = 0;
	int there[2], back[2], shared = epoll_create1(EPOLL_CLOEXEC), watched = dup(listener);
	require(pipe(there) == 0 && pipe(back) == 0, "pipe");
	told("two processes: add", watch(shared, EPOLL_CTL_ADD, watched));
	pid_t pid = fork();
	if (!pid) {
		(void)!read(there[0], &byte, 1);
		told("two processes: add by the child", watch(shared, EPOLL_CTL_ADD, watched));
		(void)!write(back[1], &byte, 1);
		(void)!read(there[0], &byte, 1);
		told("two processes: the child is woken", is_woken(shared));
		_exit(0);
	}
	told("two processes: delete", watch(shared, EPOLL_CTL_DEL, watched));
	(void)!write(there[1], &byte, 1);
	(void)!read(back[0], &byte, 1);
	told("two processes: close", close(watched));
	(void)!write(there[1], &byte, 1);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < 2; i++) {
		close(there[i]);
		close(back[i]);
	}
	close(shared);
}

static void in_shared_epolls(void)
{
	by_two_numbers();
	by_two_processes();
}

/* ---- small stacks ---- */

static struct pollfd many[1000];
static char path[200];

static void in_little_room(void)
{
	struct epoll_event event = {.events = EPOLLIN};
	struct timespec t = {0, 1000000};
	static fd_set set;
	int one = 1, saved = errno;
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	(void)!write(file, "12\n", 3);
	close(file);
	for (int i = 0; i < 1000; i++)
		many[i] = (struct pollfd){.fd = i % 50 ? -1 : listener, .events = POLLIN};
	poll(many, 1000, 1);
	ppoll(many, 1000, &t, NULL);
	FD_ZERO(&set);
	FD_SET(listener, &set);
	select(1000, &set, NULL, NULL, &(struct timeval){0, 1000});
	FD_SET(listener, &set);
	pselect(listener + 1, &set, NULL, NULL, &t, NULL);
	epoll_wait(epoll, &event, 1, 1);
	epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL);
	epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
	int copy = dup(listener), second = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(second, EPOLL_CTL_ADD, copy, &event);
	close(second);
	close(copy);
	setsockopt(listener, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	ioctl(listener, FIONBIO, &one);
	recv(service, &one, 1, MSG_DONTWAIT);
	unlink(path);
	errno = saved;
}

static void in_handler(int number)
{
	(void)number;
	in_little_room();
}

static char *guarded(size_t size)
{
	size = (size + 4095) / 4096 * 4096;
	char *memory =
	        mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(memory != MAP_FAILED && mprotect(memory, 4096, PROT_NONE) == 0, "mmap");
	return memory + 4096;
}

static void set_up_stack(void)
{
	/* Room for the kernel's frame, and 2 KB for the handler and all calls below it. */
	size_t least = getauxval(AT_MINSIGSTKSZ), size = (least ? least : MINSIGSTKSZ) + 2048;
	char *memory = guarded(size);
	/* The stack ends at the guard page. */
	stack_t stack = {.ss_sp = memory, .ss_size = size};
	struct sigaction action = {.sa_handler = in_handler, .sa_flags = SA_ONSTACK | SA_RESTART};
	require(sigaltstack(&stack, NULL) == 0 && sigaction(SIGUSR1, &action, NULL) == 0,
	        "sigaltstack");
	snprintf(path, sizeof(path), "/tmp/guest-%d.pid", getpid());
}

static ucontext_t loop, coroutine;

static void in_coroutine(void)
{
	in_little_room();
	swapcontext(&coroutine, &loop);
}

static void on_small_stacks(void)
{
	in_little_room(); /* at a first call the loader needs kilobytes of stack */
	raise(SIGUSR1);
	say("the handler has had room");
	static char *memory;
	if (!memory)
		memory = guarded(4096);
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = memory;
	coroutine.uc_stack.ss_size = 4096;
	coroutine.uc_link = NULL;
	makecontext(&coroutine, in_coroutine, 0);
	swapcontext(&loop, &coroutine);
	say("the coroutine has had room");
}

static volatile sig_atomic_t asked;

static void ask(int number)
{
	(void)number;
	asked = 1;
}

static void wait_by_epoll(void (*act)(void), int number)
{
	struct sigaction action = {.sa_handler = ask};
	struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
	sigaction(number, &action, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	require(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) == 0, "epoll_ctl");
	say("waits");
	for (;;) {
		char datagram[100];
		epoll_wait(epoll, &event, 1, 100);
		(void)recv(service, datagram, sizeof(datagram), MSG_DONTWAIT);
		answer();
		for (int i = known - 1; i > 0; i--)
			look_at(i);
		if (asked) {
			asked = 0;
			act();
			say("done");
		}
	}
}

/* ---- limits ---- */

static int two_seconds;

static void *tell(void *unused)
{
	uint64_t count;
	(void)unused;
	while (read(two_seconds, &count, sizeof(count)) > 0)
		say("2 seconds are over");
	return NULL;
}

static int timer(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	require(fd >= 0, "timerfd_create");
	return fd;
}

static void start(int fd, int seconds)
{
	struct itimerspec when = {.it_value.tv_sec = seconds};
	timerfd_settime(fd, 0, &when, NULL);
}

static int wait_by(const char *call)
{
	struct timespec limit = {3, 0};
	struct timeval old_limit = {3, 0};
	fd_set set;
	FD_ZERO(&set);
	int highest = 0;
	for (int i = 0; i < known; i++) {
		FD_SET(fds[i].fd, &set);
		highest = fds[i].fd > highest ? fds[i].fd : highest;
	}
	if (!strcmp(call, "poll"))
		return poll(fds, (nfds_t)known, 3000);
	if (!strcmp(call, "ppoll"))
		return ppoll(fds, (nfds_t)known, &limit, NULL);
	int result = !strcmp(call, "select") ? select(highest + 1, &set, NULL, NULL, &old_limit)
	                                     : pselect(highest + 1, &set, NULL, NULL, &limit, NULL);
	for (int i = 0; i < known; i++)
		fds[i].revents = result > 0 && FD_ISSET(fds[i].fd, &set) ? POLLIN : 0;
	return result;
}

static void wait_with_limit(const char *call)
{
	pthread_t thread;
	int four_seconds = timer();
	two_seconds = timer();
	fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
	require(pthread_create(&thread, NULL, tell, NULL) == 0, "pthread_create");
	for (;;) {
		struct itimerspec left;
		say("begins");
		start(two_seconds, 2);
		start(four_seconds, 4);
		int result = wait_by(call);
		timerfd_gettime(four_seconds, &left);
		if (result == 0)
			say(left.it_value.tv_sec || left.it_value.tv_nsec ? "ends in time"
			                                                  : "ends late");
		if (result > 0 && fds[0].revents)
			answer();
		for (int i = known - 1; i > 0; i--)
			if (fds[i].revents)
				look_at(i);
	}
}

int main(int count, char **arguments)
{
	require(count == 5,
	        "usage: guest vfork|stack|epoll|poll|ppoll|select|pselect --tag TAG PORT");
	tag = arguments[3];
	int port = atoi(arguments[4]);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* poll refuses more than that */
	service = make(SOCK_DGRAM, port);
	listener = make(SOCK_STREAM, port);
	if (!strcmp(arguments[1], "vfork"))
		wait_by_epoll(in_vfork_children, SIGUSR1);
	if (!strcmp(arguments[1], "epoll"))
		wait_by_epoll(in_shared_epolls, SIGUSR1);
	if (!strcmp(arguments[1], "stack")) {
		set_up_stack();
		wait_by_epoll(on_small_stacks, SIGUSR2);
	}
	wait_with_limit(arguments[1]);
	return 0;
}
