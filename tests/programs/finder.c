/* SPDX-License-Identifier: MIT */
/*
 * Tests what the library remembers of a descriptor after a look at it (shim/listener.c), without
 * the rest of the library.  The program interferes between two steps of the library's code, as
 * another thread would.
 *
 *   finder race       The socket becomes a listener while another thread looks at it.
 *   finder closed     The library looks at a number that is not open.
 *   finder borrowed   A vfork child accepts at a gate that a keeper has opened.
 */
#include "shim/raw.h"

static long kernel_call(long number, long a, long b, long c, long d, long e, long f);
#undef RAW_6
#define RAW_6(n, a, b, c, d, e, f, ...) \
	kernel_call(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

#include "shim/fdtable.c"
#include "shim/listener.c"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void require(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "finder: %s\n", what);
	exit(1);
}

/* ---- stand-ins for the rest of the library ---- */

const struct moult_board *member_board;
struct moult_tally *member_tally;
_Atomic uint32_t gate_edition;
_Atomic bool raw_is_checked;
__thread struct gate_thread gate_thread;
struct real real;
static bool borrowed;
static struct moult_slot slot;

bool sandbox_denies(long number)
{
	(void)number;
	return false;
}

bool member_is_borrowed(void)
{
	return borrowed;
}

pid_t member_pid(void)
{
	return 1;
}

void member_serves(void)
{
}

struct moult_slot *member_slot(void)
{
	return &slot;
}

int member_ask(struct moult_request *request, int fd, int other, struct moult_reply *ret_reply,
        int *ret_fd)
{
	(void)request, (void)fd, (void)other, (void)ret_reply, (void)ret_fd;
	return -ECONNREFUSED;
}

void member_tell(struct moult_request *request, int fd)
{
	(void)request, (void)fd;
}

bool gate_enter_slowly(uintptr_t frame)
{
	(void)frame;
	return true;
}

void gate_withdraw(void)
{
}

int gate_sleep(int listener, uint32_t word, int64_t limit_us)
{
	(void)listener, (void)word, (void)limit_us;
	return 0;
}

void connection_opened(int fd)
{
	(void)fd;
}

void connection_closing(int fd)
{
	(void)fd;
}

void interest_discover(int fd, int listener, int fresh)
{
	(void)fd, (void)listener, (void)fresh;
}

bool interest_watches(int listener)
{
	(void)listener;
	return false;
}

void interest_drop(int fd)
{
	(void)fd;
}

void interest_drop_epoll(int epoll)
{
	(void)epoll;
}

bool poke_is_peer(int fd)
{
	(void)fd;
	return false;
}

bool poke_is_from(const struct sockaddr_storage *peer, socklen_t length)
{
	(void)peer, (void)length;
	return false;
}

/* ---- the tests ---- */

enum { LISTENER = 5 };
static int fd; /* a socket that is not on the board */
static bool interferes;
static int writes; /* calls that change the socket */

static long kernel_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result = raw_kernel(number, a, b, c, d, e, f);
	if (number == SYS_fstat && interferes) {
		interferes = false;
		listener_learn(fd, LISTENER); /* another thread's listen() has been announced */
	}
	writes += number == SYS_listen || (number == SYS_fcntl && b == F_SETFL);
	return result;
}

static void race(void)
{
	interferes = true;
	require(listener_of(fd) == -1, "it was none when it was looked at");
	require(fd_listener(fd) == LISTENER, "the other thread's word is lost");
	require(fd_count(LISTENER) == 1 && fd_of_listener(LISTENER) == fd, "it is not counted");
	fd_set_kind(fd, FD_UNKNOWN);
	require(listener_if_new(fd) == -1 && fd_kind(fd) >= FD_FOREIGN, "it is not remembered");
	interferes = true;
	require(listener_if_new(fd) == -1 && interferes, "it is looked at again");
}

static void closed(void)
{
	close(fd);
	require(listener_of(fd) == -1, "a closed one is a listener");
	require(fd_kind(fd) == FD_UNKNOWN, "a closed one is remembered");
	listener_inherit();
	require(fd_kind(fd) == FD_UNKNOWN, "a closed one is remembered as inherited");
	require(fd_kind(STDERR_FILENO) >= FD_FOREIGN, "an open one is not remembered");
}

static void take_over_borrowed(void)
{
	atomic_store(&member_tally->view[LISTENER].nonblock, 1);
	borrowed = true;
	listener_take_over(LISTENER, fd);
	require(!writes, "a vfork child has changed the socket");
	borrowed = false;
	listener_take_over(LISTENER, fd);
	require(writes, "the process that it was forked from does nothing any more");
}

int main(int count, char **arguments)
{
	static struct moult_board board;
	static struct moult_tally tally;
	const char *what = count == 2 ? arguments[1] : "";
	member_board = &board;
	member_tally = &tally;
	atomic_store(&board.listeners, LISTENER + 1);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	require(fd >= 0, "socket");
	if (!strcmp(what, "race"))
		race();
	else if (!strcmp(what, "closed"))
		closed();
	else if (!strcmp(what, "borrowed"))
		take_over_borrowed();
	else
		require(false, "usage: finder race|closed|borrowed");
	puts("found");
	return 0;
}
