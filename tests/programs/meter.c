/* SPDX-License-Identifier: MIT */
/*
 * Measures how much stack a libc call takes, with the library's part in it.  Each call is made in a
 * coroutine whose stack is filled with a pattern first.
 *
 *   meter --tag TAG PORT    Makes listeners on PORT (127.0.0.1) and at "a.sock" in the working
 *                           directory, reports "NAME BYTES" of each call on stderr, and serves.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK = 65536, PAINT = 0xa5, MANY = 200 };

static char stack[STACK];
static ucontext_t loop, coroutine;
static int tcp, other, unix_one, epoll;
static struct sockaddr_in address = {.sin_family = AF_INET};
static struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "a.sock"};
static struct epoll_event event = {.events = EPOLLIN};
static struct pollfd fds[MANY];
static struct timeval now;
static fd_set set;
static char byte;

static void nothing(void)
{
	getppid();
}

static void bind_tcp(void)
{
	bind(tcp, (struct sockaddr *)&address, sizeof(address));
}

static void listen_tcp(void)
{
	listen(tcp, 8);
}

static void bind_in_use(void)
{
	bind(other, (struct sockaddr *)&address, sizeof(address));
}

static void accept_none(void)
{
	accept(tcp, NULL, NULL);
}

static void bind_unix(void)
{
	bind(unix_one, (struct sockaddr *)&path, sizeof(path));
}

static void listen_unix(void)
{
	listen(unix_one, 8);
}

static void rename_it(void)
{
	rename("a.sock", "b.sock");
}

static void watch(void)
{
	epoll_ctl(epoll, EPOLL_CTL_ADD, tcp, &event);
}

static void poll_many(void)
{
	poll(fds, MANY, 0);
}

static void select_one(void)
{
	select(tcp + 1, &set, NULL, NULL, &now);
}

static void read_none(void)
{
	(void)!read(tcp, &byte, 1);
}

static void unlink_it(void)
{
	unlink("b.sock");
}

static const struct {
	const char *name;
	void (*make)(void);
} calls[] = {
        {"nothing", nothing},
        {"bind", bind_tcp},
        {"listen", listen_tcp},
        {"bind-in-use", bind_in_use},
        {"accept", accept_none},
        {"bind-unix", bind_unix},
        {"listen-unix", listen_unix},
        {"rename", rename_it},
        {"unlink", unlink_it},
        {"epoll_ctl", watch},
        {"poll", poll_many},
        {"select", select_one},
        {"read", read_none},
};

static int used(void (*make)(void))
{
	memset(stack, PAINT, sizeof(stack));
	getcontext(&coroutine);
	coroutine.uc_stack.ss_sp = stack;
	coroutine.uc_stack.ss_size = sizeof(stack);
	coroutine.uc_link = &loop;
	makecontext(&coroutine, make, 0);
	swapcontext(&loop, &coroutine);
	int untouched = 0;
	while (untouched < STACK && (unsigned char)stack[untouched] == PAINT)
		untouched++;
	return STACK - untouched;
}

int main(int count, char **arguments)
{
	if (count != 4)
		return 2;
	int one = 1;
	address.sin_port = htons((uint16_t)atoi(arguments[3]));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	unlink("a.sock");
	tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	other = socket(AF_INET, SOCK_STREAM, 0);
	unix_one = socket(AF_UNIX, SOCK_STREAM, 0);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < MANY; i++)
		fds[i] = (struct pollfd){.fd = tcp, .events = POLLIN};
	FD_SET(tcp, &set);
	int least = used(nothing);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		fprintf(stderr, "meter %s: %s %d\n", arguments[2], calls[i].name,
		        used(calls[i].make) - least);
	fprintf(stderr, "meter %s: waits\n", arguments[2]);
	for (;;) {
		epoll_wait(epoll, &event, 1, -1);
		int client = accept(tcp, NULL, NULL);
		if (client >= 0)
			close(client);
	}
}
