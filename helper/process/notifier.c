/* SPDX-License-Identifier: MIT */
/* Receives what a daemon says by sd_notify(3), in a process of its own. */
#include "helper/process/notifier.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "helper/base/close.h"
#include "helper/base/util.h"
#include "helper/process/confine.h"

/* The numbers of the reader's descriptors. */
enum { READER_INPUT = 3, READER_PADDED, READER_LINK, READER_FIRST };

/* ---- the reader ---- */

static bool has_line(const char *text, const char *line)
{
	size_t length = strlen(line);
	for (; text; text = strchr(text, '\n'), text = text ? text + 1 : NULL)
		if (!strncmp(text, line, length) && (text[length] == '\n' || !text[length]))
			return true;
	return false;
}

/* The text of the line STATUS=; what is not ASCII is shown as "?". */
static void find_status(const char *text, char *status, size_t size)
{
	static const char name[] = "STATUS=";
	while (text && strncmp(text, name, sizeof(name) - 1) != 0)
		text = (text = strchr(text, '\n')) ? text + 1 : NULL;
	size_t length = 0;
	for (text = text ? text + sizeof(name) - 1 : ""; *text && *text != '\n'; text++)
		if (length + 1 < size)
			status[length++] = *text >= ' ' && *text <= '~' ? *text : '?';
	status[length] = '\0';
}

static void close_received(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
			for (size_t n = 0; n < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); n++)
				close(((int *)(void *)CMSG_DATA(c))[n]);
}

static pid_t sender_of(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS &&
		        c->cmsg_len == CMSG_LEN(sizeof(struct ucred)))
			return ((struct ucred *)(void *)CMSG_DATA(c))->pid;
	return 0;
}

/*
 * Sends before it closes: a close that hangs holds up later messages only.  Waits until the launcher
 * has handled the message: a sender that waits for its BARRIER=1 (sd_notify_barrier(3)) may exit
 * after that, and the launcher must have looked at the sender before.  A launcher that does not
 * read makes the daemon wait, as a service manager would.
 */
static void pass_on(int input)
{
	char text[4096];
	_Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(1024)];
	struct iovec part = {text, sizeof(text) - 1};
	struct msghdr message = {.msg_iov = &part,
	        .msg_iovlen = 1,
	        .msg_control = space,
	        .msg_controllen = sizeof(space)};
	ssize_t length = recvmsg(input, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (length < 0)
		return;
	text[length] = '\0';
	struct notification notification = {.sender = sender_of(&message),
	        .ready = has_line(text, "READY=1"),
	        .watchdog = has_line(text, "WATCHDOG=1")};
	find_status(text, notification.status, sizeof(notification.status));
	char handled;
	if (notification.sender > 0 &&
	        send(READER_LINK, &notification, sizeof(notification), MSG_NOSIGNAL) > 0)
		(void)recv(READER_LINK, &handled, sizeof(handled), 0);
	close_received(&message);
}

static void confine_reader(void)
{
	static const unsigned short calls[] = {SYS_recvmsg, SYS_recvfrom, SYS_sendto, SYS_close,
	        SYS_ppoll, SYS_nanosleep, SYS_clock_nanosleep, SYS_rt_sigreturn,
	        SYS_restart_syscall, SYS_exit, SYS_exit_group,
#ifdef SYS_poll
	        SYS_poll
#endif
	};
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)confine_capabilities(0);
	confine_calls(calls, COUNT(calls), NULL, 0, EPERM);
}

/* No close waits that the reader inherits: the launcher waits until all are closed (start()). */
static _Noreturn void read_on(const int inputs[2], int link)
{
	const int given[] = {inputs[0], inputs[1], link};
	int high[COUNT(given)];
	for (size_t i = 0; i < COUNT(given); i++)
		high[i] = fcntl(given[i], F_DUPFD_CLOEXEC, READER_FIRST);
	for (size_t i = 0; i < COUNT(given); i++)
		if (high[i] < 0 || dup2(high[i], READER_INPUT + (int)i) < 0)
			_exit(1);
	close_from(READER_FIRST); /* also `begun` */
	confine_leave_memory();
	confine_reader();
	struct pollfd watched[] = {{.fd = READER_LINK}, {.fd = READER_INPUT, .events = POLLIN},
	        {.fd = READER_PADDED, .events = POLLIN}};
	for (;;) {
		if (poll(watched, COUNT(watched), -1) > 0 && watched[0].revents)
			_exit(0); /* the launcher has closed its end */
		pass_on(READER_INPUT);
		pass_on(READER_PADDED);
		nap(MILLISECOND); /* the launcher has work with each: a flood must not keep it busy */
	}
}

/* ---- the launcher ---- */

static void readable(void *context)
{
	struct notifier *notifier = context;
	struct notification notification;
	ssize_t length = recv(notifier->link.fd, &notification, sizeof(notification), MSG_DONTWAIT);
	if (length == sizeof(notification)) {
		notifier->heard(notifier->context, &notification);
		(void)send(notifier->link.fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	} else if (length == 0) /* the reader has ended */
		loop_unwatch(&notifier->link);
}

/*
 * `length`: of the name behind its NUL.  sshd, named and others pass all of sun_path to connect(),
 * with the NULs behind the name.  Without a file that is another address: it has a socket, too.
 */
static int open_socket(const char *name, size_t length)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	memcpy(address.sun_path + 1, name, strlen(name));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int on = 1;
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
	        bind(fd, (struct sockaddr *)&address,
	                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) < 0) {
		int error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

/* Forks the reader, and waits, a second at most, until it has closed what it has inherited. */
static int start(const int inputs[2], int *ret_link)
{
	int ends[2], begun[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	if (pipe2(begun, O_CLOEXEC) < 0) {
		int error = errno;
		close(ends[0]);
		close(ends[1]);
		return -error;
	}
	pid_t launcher = getpid(), pid = fork();
	int error = errno;
	if (pid == 0) {
		prctl(PR_SET_NAME, "moult-notify");
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != launcher)
			_exit(0);
		read_on(inputs, ends[1]);
	}
	close(ends[1]);
	close(begun[1]);
	struct pollfd wait = {.fd = begun[0], .events = POLLIN};
	if (pid > 0)
		(void)poll(&wait, 1, 1000);
	close(begun[0]);
	*ret_link = ends[0];
	if (pid > 0)
		return 0;
	fd_close(ret_link);
	return -error;
}

int notifier_start(struct notifier *notifier, const char *digits,
        void (*heard)(void *context, const struct notification *notification), void *context)
{
	/* The address is random, but need not be secret: the kernel says who has sent a message. */
	int length = snprintf(
	        notifier->address, sizeof(notifier->address), "moult-notify-%.16s", digits);
	CLEANUP(fd_close) int exact = open_socket(notifier->address, (size_t)length);
	CLEANUP(fd_close)
	int padded =
	        open_socket(notifier->address, sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1);
	if (exact < 0 || padded < 0)
		return exact < 0 ? exact : padded;
	notifier->link.ready = readable;
	notifier->link.context = notifier;
	notifier->heard = heard;
	notifier->context = context;
	int result = start((const int[]){exact, padded}, &notifier->link.fd);
	return result < 0 ? result : loop_watch(&notifier->link);
}

void notifier_stop(struct notifier *notifier)
{
	loop_unwatch(&notifier->link);
	fd_close(&notifier->link.fd);
}
