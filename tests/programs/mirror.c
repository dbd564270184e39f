/* SPDX-License-Identifier: MIT */
/*
 * Records what a program sees of itself and of its calls: environment, descriptors, signals, and
 * the results of socket calls in usual and unusual uses.  The record with the library must be the
 * same text as the record without it.  Takes the options of legacy_daemon.h:
 *
 *   --output=OUTPUT   writes the record to OUTPUT (default: stdout)
 *   --port=N          does not make the calls, but serves; before that, starts programs in every
 *                     way, which record what they see in OUTPUT.child
 *   --model=calls     with --port: makes the calls before it serves
 *
 * Without --port the program makes the calls and exits with status 7.
 */
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"
#include "tests/programs/mirror_calls.h"
#include "tests/programs/mirror_seen.h"
#include "tests/programs/mirror_self.h"
#include "tests/programs/mirror_waits.h"

/* Starts a program in each of these ways; it records its environment and descriptors. */
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

/* Serves one connection at a time, so that only poll() and accept() are called. */
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
