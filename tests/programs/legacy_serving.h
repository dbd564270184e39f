/* SPDX-License-Identifier: MIT */
/* Part of legacy.h.  How the test daemons accept, answer and close, and fork their workers. */
#pragma once

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy_daemon.h"
#include "tests/programs/legacy_listener.h"
#include "tests/programs/legacy_privileges.h"
#include "tests/programs/legacy_stages.h"

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

/* One FILE for each direction, as in old servers.  fclose() closes without a call of close(). */
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
	if (legacy.with_accept4) /* the connection is non-blocking */
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

/* Returns false in the child, which goes on to serve. */
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
