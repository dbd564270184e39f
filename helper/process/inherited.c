/* SPDX-License-Identifier: MIT */
/*
 * The process attributes that the launcher inherits and gives back to its programs.
 *
 * exec() keeps: ignored signals (and no other disposition), the mask, limits, umask, the three
 * interval timers, the parent-death signal, the subreaper flag, descriptors.  fork() keeps all of
 * them but the timers, the death signal and the subreaper flag.
 */
#include "helper/process/inherited.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "helper/base/util.h"

/* The launcher holds two descriptors for each listener, of which there may be thousands. */
enum { DESCRIPTORS_WANTED = 65536 };

/* Limits that could stop or kill the launcher.  RLIMIT_CORE and others concern the program only. */
static const int limits[] = {RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_NPROC, RLIMIT_CPU, RLIMIT_AS,
        RLIMIT_DATA, RLIMIT_STACK};

static const int timers[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};

static struct {
	pid_t pid;
	bool taken;
	bool ignored[NSIG];
	sigset_t mask;
	mode_t umask;
	struct rlimit limits[COUNT(limits)];
	bool has_limit[COUNT(limits)];
	struct itimerval timers[COUNT(timers)];
	nanoseconds since; /* when the timers were read */
	int death_signal;
	int subreaper;
} found;

/*
 * Opens /dev/null in the place of closed standard streams, so that no descriptor of the launcher
 * gets their numbers.  CLOEXEC: the program finds them closed.  Without /dev/null an O_PATH
 * descriptor takes their place: reads and writes fail as on a closed one.
 */
static void fill_standard_streams(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		if (fd < 0)
			fd = open("/", O_PATH | O_CLOEXEC);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

static void set_disposition(int number, void (*handler)(int))
{
	struct sigaction action = {.sa_handler = handler};
	(void)sigaction(number, &action, NULL);
}

static void take_signals(void)
{
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		found.ignored[number] =
		        sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
	}
	sigprocmask(SIG_SETMASK, NULL, &found.mask);
	/* If SIGCHLD is ignored the kernel reaps, and waitpid() does not tell how a child ended. */
	set_disposition(SIGCHLD, SIG_DFL);
	/* A log file at its size limit, CPU time used up, a terminal of another job. */
	set_disposition(SIGXFSZ, SIG_IGN);
	set_disposition(SIGXCPU, SIG_IGN);
	set_disposition(SIGTTOU, SIG_IGN);
}

static void raise_limit(int resource, struct rlimit limit)
{
	rlim_t most = limit.rlim_max;
	limit.rlim_max = resource == RLIMIT_NOFILE ? DESCRIPTORS_WANTED : RLIM_INFINITY;
	if (limit.rlim_max < most)
		limit.rlim_max = most;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(resource, &limit) == 0)
		return;
	/* Without CAP_SYS_RESOURCE the hard limit cannot be raised. */
	limit.rlim_cur = limit.rlim_max = most;
	(void)setrlimit(resource, &limit);
}

static void take_limits(void)
{
	for (size_t i = 0; i < COUNT(limits); i++) {
		found.has_limit[i] = getrlimit(limits[i], &found.limits[i]) == 0;
		if (found.has_limit[i])
			raise_limit(limits[i], found.limits[i]);
	}
}

/*
 * A death signal of SIGKILL is meant for the program, too.  But the program survives a launcher
 * that is killed.  So the launcher gets SIGTERM instead, and stops the program.
 */
static void take_death_signal(void)
{
	(void)prctl(PR_GET_PDEATHSIG, &found.death_signal);
	if (found.death_signal == SIGKILL)
		(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
}

void inherited_take(void)
{
	found.pid = getpid();
	take_signals();
	take_limits();
	take_death_signal();
	(void)prctl(PR_GET_CHILD_SUBREAPER, &found.subreaper);
	found.umask = umask(022);
	fill_standard_streams();
	found.taken = true;
}

void inherited_take_timers(void)
{
	const struct itimerval none = {0};
	for (size_t i = 0; i < COUNT(timers); i++)
		(void)setitimer(timers[i], &none, &found.timers[i]);
	found.since = now();
}

static nanoseconds of_timeval(struct timeval time)
{
	return time.tv_sec * SECOND + time.tv_usec * 1000;
}

static struct timeval to_timeval(nanoseconds time)
{
	return (struct timeval){time / SECOND, time % SECOND / 1000};
}

/* A timer of real time goes off when it would have.  A timer of CPU time goes on where it was. */
static void give_timers(void)
{
	for (size_t i = 0; i < COUNT(timers); i++) {
		struct itimerval timer = found.timers[i];
		nanoseconds left = of_timeval(timer.it_value);
		nanoseconds interval = of_timeval(timer.it_interval);
		if (!left)
			continue;
		if (timers[i] == ITIMER_REAL)
			left -= now() - found.since;
		if (left <= 0 && !interval)
			continue; /* it would have gone off already */
		if (left <= 0)
			left = interval - -left % interval;
		timer.it_value = to_timeval(left < 1000 ? 1000 : left);
		(void)setitimer(timers[i], &timer, NULL);
	}
}

void inherited_give(void)
{
	if (!found.taken)
		return;
	umask(found.umask);
	for (size_t i = 0; i < COUNT(limits); i++)
		if (found.has_limit[i])
			(void)setrlimit(limits[i], &found.limits[i]);
	if (found.subreaper)
		(void)prctl(PR_SET_CHILD_SUBREAPER, 1);
	if (found.death_signal)
		(void)prctl(PR_SET_PDEATHSIG, found.death_signal);
	for (int number = 1; number < NSIG; number++) {
		struct sigaction action;
		if (sigaction(number, NULL, &action) < 0)
			continue;
		if ((action.sa_handler == SIG_IGN) != found.ignored[number])
			set_disposition(number, found.ignored[number] ? SIG_IGN : SIG_DFL);
	}
	give_timers();
	sigprocmask(SIG_SETMASK, &found.mask, NULL);
}

static void give_pid(char **environment, const char *name, char *text, size_t size)
{
	char old[48];
	snprintf(old, sizeof(old), "%s=%d", name, (int)found.pid);
	snprintf(text, size, "%s=%d", name, (int)getpid());
	for (char **entry = environment; *entry; entry++)
		if (!strcmp(*entry, old))
			*entry = text;
}

void inherited_give_pids(char **environment)
{
	static char listen[48], watchdog[48];
	give_pid(environment, "LISTEN_PID", listen, sizeof(listen));
	give_pid(environment, "WATCHDOG_PID", watchdog, sizeof(watchdog));
}

bool inherited_ignored(int signal)
{
	return signal > 0 && signal < NSIG && found.ignored[signal];
}
