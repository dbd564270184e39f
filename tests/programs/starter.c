/* SPDX-License-Identifier: MIT */
/*
 * A daemon that executes itself again, or a service that accepts for it, with a newly built
 * environment.  Takes the options of legacy_daemon.h; the third word must be --model=NAME (table
 * `models` below):
 *
 *   self-NAME     executes itself at SIGUSR1 and keeps its listener, whose number is in the
 *                 environment: with a fresh list; after clearenv(); after it has moved the strings
 *                 and overwritten the old ones; or as /proc/self/exe.  "self-rebind" closes the
 *                 listener and binds again.
 *   child-NAME    starts the service by NAME, and waits for its end
 *   through-NAME  the same, with a shell in between that does not use the listener
 *   early-NAME    starts the service by NAME before it has bound anything, and exits after NAME
 *   service       the service: serves
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

extern char **environ;

static char **words; /* argv */
static volatile sig_atomic_t again;

static void require(bool good, const char *what)
{
	if (!good)
		legacy_die(4, what);
}

/* Like dovecot and postfix: a list of its own for a service, with the number of the listener. */
static char **fresh_environment(void)
{
	static char listener[32];
	static char *list[] = {
	        "PATH=/usr/bin:/bin", "GENERATION=no business of ours", listener, NULL};
	snprintf(listener, sizeof(listener), "LEGACY_LISTENERS=%d ", legacy.listeners[0]);
	return list;
}

static char **service(void)
{
	static char *arguments[] = {NULL, "--tag", NULL, "--model=service", NULL};
	arguments[0] = words[0];
	arguments[2] = (char *)legacy.tag;
	return arguments;
}

/* ---- executes itself ---- */

static void self_fresh(void)
{
	execve(words[0], words, fresh_environment());
}

static void self_clearenv(void)
{
	clearenv();
	putenv(fresh_environment()[2]);
	execv(words[0], words);
}

/* Like setproctitle(): the strings move, and something else is written in their old place. */
static void self_moved(void)
{
	static char *moved[256];
	size_t count = 0;
	for (; count < 254 && environ[count]; count++) {
		moved[count] = strdup(environ[count]);
		memset(environ[count], 'x', strlen(environ[count]));
	}
	moved[count] = fresh_environment()[2];
	environ = moved;
	execvp(words[0], words);
}

static void self_proc(void)
{
	unsetenv("LD_PRELOAD");
	setenv("LEGACY_LISTENERS", fresh_environment()[2] + strlen("LEGACY_LISTENERS="), 1);
	execl("/proc/self/exe", words[0], words[1], words[2], words[3], words[4], words[5], NULL);
}

static void self_rebind(void)
{
	static char *none[] = {NULL};
	close(legacy.listeners[0]);
	execve(words[0], words, none);
}

/* ---- starts a service ---- */

static pid_t child_fork(char **arguments)
{
	pid_t pid = fork();
	if (pid == 0) {
		execve(arguments[0], arguments, fresh_environment());
		_exit(9);
	}
	return pid;
}

static pid_t child_vfork(char **arguments)
{
	char **environment = fresh_environment();
	pid_t pid = vfork();
	if (pid == 0) {
		execve(arguments[0], arguments, environment);
		_exit(9);
	}
	return pid;
}

static pid_t child_spawn(char **arguments)
{
	pid_t pid = -1;
	require(posix_spawn(&pid, arguments[0], NULL, NULL, arguments, fresh_environment()) == 0,
	        "posix_spawn");
	return pid;
}

/* A command for the shell, which executes the service with the environment that it gets from us. */
static char **through(const char *script)
{
	static char *arguments[] = {"/bin/sh", "-c", NULL, NULL};
	static char text[4096];
	snprintf(text, sizeof(text), script, "", words[0], legacy.tag);
	arguments[2] = text;
	return arguments;
}

#define SERVICE "%s%s --tag %s --model=service"

static pid_t through_exec(char **unused)
{
	(void)unused;
	return child_fork(through("exec " SERVICE));
}

static pid_t through_wait(char **unused)
{
	(void)unused;
	return child_vfork(through("trap 'kill $!' TERM; " SERVICE " & wait"));
}

static pid_t through_clean(char **unused)
{
	(void)unused;
	return child_spawn(through("exec env -i LEGACY_LISTENERS=$LEGACY_LISTENERS " SERVICE));
}

/* ---- early: before anything is bound ---- */

static char *command_again(const char *end)
{
	static char text[4096];
	setenv("LEGACY_AGAIN", "1", 1);
	snprintf(text, sizeof(text), "exec %s --tag %s --model=service --port %s%s", words[0],
	        words[2], words[5], end);
	return text;
}

static void early_system(void)
{
	exit(system(command_again("")) != 0);
}

static void early_popen(void)
{
	FILE *stream = popen(command_again(""), "r");
	exit(pclose(stream) != 0);
}

static void early_background(void)
{
	exit(system(command_again(" &")) != 0);
}

static const struct {
	const char *name;
	void (*early)(void);
	void (*self)(void);
	pid_t (*child)(char **arguments);
} models[] = {
        {"early-system", early_system, NULL, NULL},
        {"early-popen", early_popen, NULL, NULL},
        {"early-background", early_background, NULL, NULL},
        {"self-fresh", NULL, self_fresh, NULL},
        {"self-clearenv", NULL, self_clearenv, NULL},
        {"self-moved", NULL, self_moved, NULL},
        {"self-proc", NULL, self_proc, NULL},
        {"self-rebind", NULL, self_rebind, NULL},
        {"child-fork", NULL, NULL, child_fork},
        {"child-vfork", NULL, NULL, child_vfork},
        {"child-spawn", NULL, NULL, child_spawn},
        {"through-exec", NULL, NULL, through_exec},
        {"through-wait", NULL, NULL, through_wait},
        {"through-clean", NULL, NULL, through_clean},
        {"service", NULL, NULL, NULL},
};

static void wanted(int signal)
{
	(void)signal;
	again = 1;
}

static void serve(void (*self)(void))
{
	struct sigaction action = {.sa_handler = wanted};
	sigaction(SIGUSR1, &action, NULL);
	fprintf(stderr, "starter %s: serves\n", legacy.tag);
	legacy_waiting();
	for (;;) {
		struct pollfd p = {.fd = legacy.listeners[0], .events = POLLIN};
		struct timespec t = {.tv_sec = 1};
		ppoll(&p, 1, &t, NULL);
		if (again && self) {
			self();
			legacy_die(4, "exec");
		}
		int fd = p.revents ? legacy_accept(p.fd) : -1;
		if (fd >= 0)
			legacy_serve_one(fd);
	}
}

int main(int argc, char **argv)
{
	words = argv;
	require(argc > 3, "options");
	const char *model = strchr(argv[3], '=') + 1;
	size_t chosen = 0;
	while (strcmp(models[chosen].name, model) != 0)
		require(++chosen < sizeof(models) / sizeof(models[0]), "--model");
	if (models[chosen].early)
		models[chosen].early();
	legacy_start(argc, argv);
	if (!models[chosen].child)
		serve(models[chosen].self);
	pid_t pid = models[chosen].child(service());
	int status = 0;
	require(pid > 0 && waitpid(pid, &status, 0) == pid, "child");
	return status != 0;
}
