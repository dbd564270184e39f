/* SPDX-License-Identifier: MIT */
/*
 * A daemon that records everything that a process inherits: of itself, and of the programs that it
 * starts.  It starts programs in every way there is, before the bind, after the bind, and at the
 * first connection.  After the first connection the daemon changes all of its own attributes that
 * it can, and goes on serving.
 *
 *   family [OPTIONS of legacy_daemon.h] OUTPUT   the daemon; appends its record to OUTPUT
 *   family observe OUTPUT NAME                   a started program; appends a record named NAME
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/programs/legacy.h"

extern char **environ;

static char output[4096];
static FILE *out;

static void require(bool good, const char *what)
{
	if (!good)
		legacy_die(4, what);
}

/* ---- the record ---- */

/* Writes the lines of a file, except those whose names are in `without`. */

static void show_file(const char *path, const char *without)
{
	char line[4096];
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file)) {
		char name[64];
		snprintf(name, sizeof(name), " %.*s ", (int)(strcspn(line, ":") & 0x1f), line);
		if (!without || !strstr(without, name))
			fprintf(out, "%s: %s", strrchr(path, '/') + 1, line);
	}
	if (file)
		fclose(file);
}

/* Writes `environ`, and what /proc shows of the memory that exec has filled. */
static void show_environment(void)
{
	static char text[1 << 16];
	int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	ssize_t length = read(fd, text, sizeof(text) - 1);
	close(fd);
	for (ssize_t at = 0; at < length; at += (ssize_t)strlen(text + at) + 1)
		if (text[at])
			fprintf(out, "kernel's environment: %s\n", text + at);
	for (char **entry = environ; *entry; entry++)
		fprintf(out, "environment: %s\n", *entry);
}

static void show_descriptors(void)
{
	for (int fd = 0; fd < 4096; fd++) {
		char link[64], target[4096] = "";
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		if (fd == fileno(out) || readlink(link, target, sizeof(target) - 1) < 0)
			continue;
		target[strcspn(target, "[")] = '\0';
		fprintf(out, "descriptor %d: %s, flags %d, status flags %o\n", fd,
		        fd > 2 ? target : "stdio", fcntl(fd, F_GETFD),
		        (unsigned)fcntl(fd, F_GETFL));
	}
}

static void show_attributes(void)
{
	int reaper = 0, death = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &reaper);
	prctl(PR_GET_PDEATHSIG, &death);
	fprintf(out, "subreaper %d, death signal %d, dumpable %d, secure bits %d, keep caps %d\n",
	        reaper, death, prctl(PR_GET_DUMPABLE), prctl(PR_GET_SECUREBITS),
	        prctl(PR_GET_KEEPCAPS));
	fprintf(out, "timer slack %d, personality %x, nice %d, secure %lu\n",
	        prctl(PR_GET_TIMERSLACK), (unsigned)personality(0xffffffff),
	        getpriority(PRIO_PROCESS, 0), getauxval(AT_SECURE));
	fprintf(out, "input and output priority %ld, processors %ld, scheduler %ld\n",
	        syscall(SYS_ioprio_get, 1, 0), sysconf(_SC_NPROCESSORS_ONLN),
	        syscall(SYS_sched_getscheduler, 0));
	for (int which = 0; which < RLIM_NLIMITS; which++) {
		struct rlimit limit;
		if (getrlimit((__rlimit_resource_t)which, &limit) == 0)
			fprintf(out, "limit %d: %lx %lx\n", which, (unsigned long)limit.rlim_cur,
			        (unsigned long)limit.rlim_max);
	}
	char path[4096] = "";
	fprintf(out, "directory %s, ", getcwd(path, sizeof(path)));
	path[0] = '\0';
	fprintf(out, "root %s\n",
	        readlink("/proc/self/root", path, sizeof(path) - 1) < 0 ? "" : path);
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	fprintf(out, "terminal %d\n", tty >= 0);
	close(tty);
}

static void show(const char *name)
{
	out = fopen(output, "ae");
	if (!out)
		legacy_die(4, output);
	fprintf(out, "== %s\n", name);
	show_environment();
	show_descriptors();
	show_attributes();
	show_file("/proc/self/status",
	        " Name State Tgid Ngid Pid PPid TracerPid NStgid NSpid NSpgid NSsid FDSize VmPeak "
	        "VmSize VmLck VmPin VmHWM VmRSS RssAnon RssFile RssShmem VmData VmStk VmExe VmLib "
	        "VmPTE VmSwap HugetlbPages SigQ voluntary_ctxt_switches "
	        "nonvoluntary_ctxt_switches untag_mask ");
	show_file("/proc/self/oom_score_adj", NULL);
	show_file("/proc/self/coredump_filter", NULL);
	show_file("/proc/self/cgroup", NULL);
	char line[4096];
	bool mapped = false;
	FILE *maps = fopen("/proc/self/maps", "re");
	while (maps && fgets(line, sizeof(line), maps))
		mapped |= strstr(line, "moult") && !strstr(line, "/programs/");
	fprintf(out, "library %d\n", mapped);
	if (maps)
		fclose(maps);
	fclose(out);
}

/* ---- its children ---- */

static char *self;

static char *const *observer(const char *when, const char *how)
{
	static char name[128];
	static char *arguments[] = {NULL, "observe", output, name, NULL};
	snprintf(name, sizeof(name), "%s: %s", when, how);
	arguments[0] = self;
	return arguments;
}

static void ended(pid_t pid, const char *what)
{
	int status;
	require(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0, what);
}

static const char *command(const char *when, const char *how)
{
	static char text[8300];
	snprintf(text, sizeof(text), "exec %s observe %s '%s: %s'", self, output, when, how);
	return text;
}

static void children(const char *when)
{
	char *const *arguments = observer(when, "fork and execv");
	pid_t pid = fork();
	if (pid == 0) {
		execv(self, arguments);
		_exit(9);
	}
	ended(pid, "execv");
	arguments = observer(when, "fork and execvpe");
	pid = fork();
	if (pid == 0) {
		execvpe(self, arguments, environ);
		_exit(9);
	}
	ended(pid, "execvpe");
	observer(when, "vfork and execlp");
	pid = vfork();
	if (pid == 0) {
		execlp(self, self, "observe", output, arguments[3], NULL);
		_exit(9);
	}
	ended(pid, "vfork");
	require(posix_spawn(&pid, self, NULL, NULL, observer(when, "posix_spawn"), environ) == 0,
	        "posix_spawn");
	ended(pid, "posix_spawn");
	require(system(command(when, "system")) == 0, "system");
	FILE *stream = popen(command(when, "popen"), "r");
	require(stream && fgetc(stream) == EOF && pclose(stream) == 0, "popen");
	/* Like a CGI program: has an environment of its own and no descriptor above 2. */
	char *list[] = {"GATEWAY_INTERFACE=CGI/1.1", NULL};
	arguments = observer(when, "CGI");
	pid = fork();
	if (pid == 0) {
		closefrom(3);
		execve(self, arguments, list);
		_exit(9);
	}
	ended(pid, "CGI");
}

/* ---- after the first connection ---- */

static void change_everything(void)
{
	sigset_t all;
	struct rlimit files = {64, 64}, none = {0, 0};
	gid_t group = 100;
	umask(0777);
	require(chdir("/") == 0, "chdir");
	clearenv();
	setenv("LD_PRELOAD", "/nowhere/at/all.so", 1);
	setenv("MOULT", "x", 1);
	sigfillset(&all);
	sigdelset(&all, SIGTERM);
	sigprocmask(SIG_SETMASK, &all, NULL);
	for (int number = 1; number < NSIG; number++)
		if (number != SIGTERM)
			signal(number, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &none);
	setpriority(PRIO_PROCESS, 0, 15);
	prctl(PR_SET_TIMERSLACK, 12345);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	lseek(0, 0, SEEK_END);
	require(getuid() != 0 ||
	                (setgroups(1, &group) == 0 && setgid(65534) == 0 && setuid(65534) == 0),
	        "setuid");
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc == 4 && strcmp(argv[1], "observe") == 0) {
		snprintf(output, sizeof(output), "%s", argv[2]);
		show(argv[3]);
		return 0;
	}
	snprintf(output, sizeof(output), "%s", argv[argc - 1]);
	show("the daemon");
	children("before bind");
	legacy_start(argc - 1, argv);
	children("bound");
	printf("line of %s\n", legacy.tag);
	fflush(stdout);
	show("the daemon serves");
	legacy_waiting();
	bool changed = false;
	for (;;) {
		struct pollfd p = {.fd = legacy.listeners[0], .events = POLLIN};
		if (poll(&p, 1, -1) < 1)
			continue;
		int fd = legacy_accept(p.fd);
		if (fd < 0)
			continue;
		if (!changed)
			children("connected");
		legacy_serve_one(fd);
		if (!changed)
			change_everything();
		changed = true;
	}
}
