/* SPDX-License-Identifier: MIT */
/* Does systemd end this service for good, or does it start the service again at once? */
#include "helper/lifecycle/unit_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper/base/util.h"
#include "helper/process/errand.h"

enum { NAME = 256, OUTPUT = 1 << 16 };

static struct errand asking;
static void (*tell)(void *context, const struct unit_answer *answer);
static void *tell_whom;

/*
 * The unit of this process: the last component of its control group that is a service.  `user`: it
 * belongs to a user's manager.
 */
static bool find_unit(char *unit, bool *user)
{
	char line[4096];
	bool found = false;
	FILE *file = fopen("/proc/self/cgroup", "re");
	*user = false;
	while (file && !found && fgets(line, sizeof(line), file)) {
		/* "0::/system.slice/nginx.service", or "1:name=systemd:/..." with version 1. */
		if (strncmp(line, "0::", 3) != 0 && !strstr(line, ":name=systemd:"))
			continue;
		line[strcspn(line, "\n")] = '\0';
		char *rest = strchr(line, '/'), *part;
		while ((part = strsep(&rest, "/"))) {
			size_t length = strlen(part);
			if (length <= strlen(".service") || length >= NAME ||
			        strcmp(part + length - strlen(".service"), ".service") != 0)
				continue;
			*user |= found && !strncmp(unit, "user@", 5);
			memcpy(unit, part, length + 1);
			found = true;
		}
	}
	if (file)
		(void)fclose(file);
	return found;
}

static _Noreturn void execute(char **words, int out)
{
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	int null = open("/dev/null", O_RDWR);
	(void)dup2(null, STDIN_FILENO);
	(void)dup2(out, STDOUT_FILENO);
	(void)dup2(null, STDERR_FILENO);
	execv("/usr/bin/systemctl", words);
	execv("/bin/systemctl", words);
	_exit(127);
}

/* The beginning of what systemctl prints, with a NUL at its end.  "": it has failed. */
static void run(char **words, char *text, size_t size)
{
	int ends[2], status = 1;
	size_t length = 0;
	ssize_t count = 1;
	text[0] = '\0';
	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	pid_t child = fork();
	if (child == 0)
		execute(words, ends[1]);
	close(ends[1]);
	while (child > 0 && length + 1 < size &&
	        ((count = read(ends[0], text + length, size - 1 - length)) > 0 ||
	                (count < 0 && errno == EINTR)))
		length += count > 0 ? (size_t)count : 0;
	close(ends[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	text[child > 0 && (status == 0 || count > 0) ? length : 0] = '\0';
}

/* Has the unit a restart job?  A line is "1234 nginx.service restart running". */
static bool has_restart(char *list, const char *unit)
{
	char *line, *word;
	while ((line = strsep(&list, "\n"))) {
		char *words[3] = {NULL};
		for (size_t n = 0; n < COUNT(words) && (word = strsep(&line, " \t"));)
			if (*word)
				words[n++] = word;
		if (words[2] && !strcmp(words[1], unit))
			return !strcmp(words[2], "restart") || !strcmp(words[2], "try-restart");
	}
	return false;
}

/* In the child of the errand. */
static int look(const void *question, void *answer)
{
	static char text[OUTPUT], unit[NAME];
	struct unit_answer *found = answer;
	bool user;
	(void)question;
	if (!find_unit(unit, &user))
		return -ENOENT;
	char *manager = user ? "--user" : "--system";
	run((char *[]){"systemctl", manager, "show", "--property=NFileDescriptorStore", "--", unit,
	            NULL},
	        text, sizeof(text));
	const char *number = strchr(text, '=');
	found->stores = number && atoi(number + 1) > 0;
	run((char *[]){"systemctl", manager, "list-jobs", "--plain", "--no-legend", "--no-pager",
	            NULL},
	        text, sizeof(text));
	found->restarts = has_restart(text, unit);
	return 0;
}

static void answered(void *context, const void *answer)
{
	static const struct unit_answer none;
	(void)context;
	tell(tell_whom, answer ? answer : &none);
}

static void no_answer(void *context)
{
	answered(context, NULL);
}

void unit_job_ask(void (*done)(void *context, const struct unit_answer *answer), void *context)
{
	static struct timer later;
	tell = done;
	tell_whom = context;
	int result = errand_begin(&asking, look, NULL, sizeof(struct unit_answer), answered, NULL);
	if (result == 0 || (result == -EBUSY && !asking.overdue))
		return;
	later.fire = no_answer;
	loop_after(&later, 0);
}
