/* SPDX-License-Identifier: MIT */
/* An errand: a look at a daemon's processes, in a child process of the launcher. */
#include "helper/process/errand.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helper/base/close.h"
#include "helper/base/message.h"
#include "helper/kernel/permitted.h"
#include "helper/process/confine.h"

enum {
	/* In addition to the memory of the launcher: a million connections are 100 MB of rows. */
	MEMORY = 512 << 20,
	/* Processes that serve clients go first, but a busy machine must not starve the child. */
	NICENESS = 5,
};

/*
 * How many bytes of addresses this process has; 0: not known.  A library that is loaded into the
 * launcher may have reserved any number.
 */
static rlim_t address_space(void)
{
	char text[64];
	unsigned long long pages;
	CLEANUP(fd_close) int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return 0;
	text[length] = '\0';
	return sscanf(text, "%llu", &pages) == 1 ? pages * (rlim_t)sysconf(_SC_PAGESIZE) : 0;
}

/* Makes sure that the child ends, also if the launcher is stopped or dies. */
static void limit(pid_t launcher)
{
	rlim_t most = address_space() + MEMORY;
	struct rlimit memory = {most, most};
	sigset_t alarms;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != launcher)
		_exit(1);
	signal(SIGALRM, SIG_DFL);
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	sigprocmask(SIG_UNBLOCK, &alarms, NULL);
	alarm(ERRAND_SECONDS);
	prctl(PR_SET_NAME, "moult-look");
	if (permitted(PERMITTED_SETPRIORITY))
		(void)setpriority(PRIO_PROCESS, 0, NICENESS);
	if (!IS_SANITISED)
		(void)setrlimit(RLIMIT_AS, &memory);
}

static int parcel = -1; /* in the child */

int errand_pack(const void *content, size_t size)
{
	int fd = memfd_create("moult", MFD_CLOEXEC);
	const char *from = content;
	while (fd >= 0 && size) {
		ssize_t length = write(fd, from, size);
		if (length < 0)
			fd_close(&fd);
		from += length;
		size -= length < 0 ? 0 : (size_t)length;
	}
	if (fd < 0)
		return -errno;
	parcel = fd;
	return 0;
}

static _Noreturn void carry_out(
        errand_look *look, const void *question, size_t size, int to, pid_t launcher)
{
	static _Alignas(max_align_t) unsigned char answer[ERRAND_ANSWER_MAX];
	limit(launcher);
	confine_leave_memory();
	/* A listener that the launcher closes meanwhile must not stay open here. */
	close_all_but(STDERR_FILENO + 1, to, -1);
	if (look(question, answer) == 0) /* the launcher may not wait any more */
		(void)message_send(to, answer, size, &parcel, parcel >= 0, 0);
	_exit(0);
}

static void end(struct errand *errand)
{
	loop_unwatch(&errand->answer);
	loop_cancel(&errand->deadline);
	fd_close(&errand->answer.fd);
	errand->running = false;
}

static void out_of_time(void *context)
{
	struct errand *errand = context;
	errand->overdue = true;
	errand->parcel = -1;
	errand->done(errand->context, NULL);
}

static int take_parcel(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	        header->cmsg_len == CMSG_LEN(sizeof(fd)))
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

static void answered(void *context)
{
	static _Alignas(max_align_t) unsigned char answer[ERRAND_ANSWER_MAX];
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(sizeof(int))];
	struct errand *errand = context;
	struct iovec part = {answer, sizeof(answer)};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = room,
	        .msg_controllen = sizeof(room)};
	ssize_t length =
	        recvmsg(errand->answer.fd, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	CLEANUP(fd_close) int fd = length < 0 ? -1 : take_parcel(&message);
	bool overdue = errand->overdue;
	end(errand);
	errand->parcel = fd; /* closed here: `done` may begin the errand again */
	if (!overdue)
		errand->done(errand->context, length == (ssize_t)errand->size ? answer : NULL);
}

int errand_begin(struct errand *errand, errand_look *look, const void *question, size_t size,
        void (*done)(void *context, const void *answer), void *context)
{
	int ends[2];
	if (errand->running)
		return -EBUSY;
	/* SEQPACKET: an answer comes whole or not at all. */
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	pid_t launcher = getpid(), child = fork();
	if (child == 0)
		carry_out(look, question, size, ends[1], launcher);
	int result = child < 0 ? -errno : 0;
	close(ends[1]);
	*errand = (struct errand){
	        .answer = {.fd = ends[0], .ready = answered, .context = errand},
	        .deadline = {.fire = out_of_time, .context = errand},
	        .began = now(),
	        .size = size,
	        .running = true,
	        .parcel = -1,
	        .done = done,
	        .context = context,
	};
	if (result == 0)
		result = loop_watch(&errand->answer);
	if (result < 0) {
		end(errand);
		return result;
	}
	loop_after(&errand->deadline, ERRAND_SECONDS * SECOND);
	return 0;
}

void errand_wait(struct errand *errand, nanoseconds patience)
{
	nanoseconds deadline = after(patience), left;
	while (errand->running && !errand->overdue && (left = deadline - now()) > 0) {
		struct pollfd answer = {.fd = errand->answer.fd, .events = POLLIN};
		if (poll(&answer, 1, (int)(left / MILLISECOND) + 1) > 0)
			answered(errand);
	}
}

void errand_cancel(struct errand *errand)
{
	if (errand->running)
		end(errand);
}
