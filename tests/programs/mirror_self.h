/* SPDX-License-Identifier: MIT */
/* Part of mirror.c.  What a program sees of itself, from its environment to its threads. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/programs/legacy.h"
#include "tests/programs/mirror_seen.h"

extern char **environ;

static void write_environment(void)
{
	for (char **entry = environ; *entry; entry++)
		fprintf(out, "environment %s\n", *entry);
}

static void write_descriptors(void)
{
	for (int fd = 0; fd < 20000; fd++) {
		struct stat status;
		int flags = fcntl(fd, F_GETFD);
		if (flags < 0 || fd == fileno(out) || fstat(fd, &status) < 0)
			continue;
		fprintf(out, "descriptor %d: flags %d, status flags %o, mode %o\n", fd, flags,
		        (unsigned)fcntl(fd, F_GETFL), status.st_mode);
	}
}

static void write_signals(void)
{
	sigset_t mask;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) == 0)
			fprintf(out, "signal %d: %s%s\n", number,
			        action.sa_handler == SIG_DFL   ? "default"
			        : action.sa_handler == SIG_IGN ? "ignored"
			                                       : "handled",
			        sigismember(&mask, number) ? ", blocked" : "");
	}
}

/* What exec() keeps.  Records only whether a timer is set, because time passes. */
static void write_inherited(void)
{
	static const int limits[] = {RLIMIT_AS, RLIMIT_CORE, RLIMIT_CPU, RLIMIT_DATA, RLIMIT_FSIZE,
	        RLIMIT_MEMLOCK, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_STACK};
	static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit limit;
		getrlimit(limits[i], &limit);
		fprintf(out, "limit %d: %lld %lld\n", limits[i], (long long)limit.rlim_cur,
		        (long long)limit.rlim_max);
	}
	for (size_t i = 0; i < sizeof(timers) / sizeof(timers[0]); i++) {
		struct itimerval timer;
		getitimer(timers[i], &timer);
		fprintf(out, "timer %d: %s, interval %ld\n", timers[i],
		        timer.it_value.tv_sec || timer.it_value.tv_usec ? "set" : "none",
		        timer.it_interval.tv_sec);
	}
	mode_t mask = umask(0);
	umask(mask);
	int death = 0, subreaper = 0;
	prctl(PR_GET_PDEATHSIG, &death);
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	fprintf(out, "umask %o, death signal %d, subreaper %d, dumpable %d, no new privileges %d\n",
	        mask, death, subreaper, prctl(PR_GET_DUMPABLE),
	        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
	char directory[PATH_MAX] = "", adjustment[32] = "", line[256];
	if (readlink("/proc/self/cwd", directory, sizeof(directory) - 1) < 0)
		legacy_die(4, "cwd");
	FILE *file = fopen("/proc/self/oom_score_adj", "re");
	if (!file || !fgets(adjustment, sizeof(adjustment), file))
		legacy_die(4, "oom_score_adj");
	fclose(file);
	fprintf(out, "directory %s, nice %d, oom %s", directory, getpriority(PRIO_PROCESS, 0),
	        adjustment);
	file = fopen("/proc/self/status", "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, "Cap", 3))
			fputs(line, out);
	if (file)
		fclose(file);
}

static void write_threads(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/task");
	if (!directory)
		legacy_die(4, "opendir");
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	fprintf(out, "threads %d\n", count);
}
