/* SPDX-License-Identifier: MIT */
/* Commands of a test to the running client: signals, and lines on stdin with --control. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tests/harness/load/clients.h"
#include "tests/harness/load/commands.h"
#include "tests/harness/load/report.h"
#include "tests/harness/load/schedule.h"

static void renew(void)
{
	persistent_close();
	if (!schedule.stopping)
		persistent_open();
}

int commands_open_signals(void)
{
	sigset_t signals;
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGUSR1);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

void commands_take_signal(int signal_fd)
{
	struct signalfd_siginfo info;
	if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGUSR1)
		renew();
	else
		schedule_stop();
}

static void obey(const char *line)
{
	if (strcmp(line, "renew") == 0)
		renew();
	else if (strcmp(line, "close") == 0)
		persistent_close();
	else if (strcmp(line, "report") == 0)
		report("report");
	else if (strcmp(line, "stop") == 0)
		schedule_stop();
	else
		fprintf(stderr, "load: unknown command: %s\n", line);
}

bool commands_take_line(void)
{
	static char line[64];
	static size_t length;
	char c;
	ssize_t n;
	/* Byte by byte: commands are rare, and the bytes after the line stay for the next call. */
	while ((n = read(STDIN_FILENO, &c, 1)) == 1) {
		if (c != '\n') {
			if (length < sizeof(line) - 1)
				line[length++] = c;
			continue;
		}
		line[length] = '\0';
		length = 0;
		obey(line);
		return true;
	}
	if (n == 0)
		schedule_stop();
	return n != 0;
}
