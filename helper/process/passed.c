/* SPDX-License-Identifier: MIT */
/* The descriptors that a service manager has passed to the launcher. */
#include "helper/process/passed.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/units.h"
#include "helper/base/util.h"

enum { FIRST = STDERR_FILENO + 1, MOST = 65536 };

/* How many descriptors the environment says are for this process. */
static unsigned announced(void)
{
	const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
	int owner, count;
	if (!pid || !number || !number_parse(pid, 1, INT32_MAX, &owner) || owner != getpid() ||
	        !number_parse(number, 1, MOST, &count))
		return 0;
	return (unsigned)count;
}

/* The daemon inherits the first `count` descriptors, with these names (NULL: it has none). */
static void announce(unsigned count, const char *names)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", count);
	if (count) {
		(void)setenv("LISTEN_FDS", text, 1);
		if (names)
			(void)setenv("LISTEN_FDNAMES", names, 1);
		return;
	}
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
}

/* Closes the gap below `fd`, whose place is `place` from now on. */
static void move_down(int fd, int place)
{
	if (fd != place && dup2(fd, place) == place)
		close(fd);
}

unsigned passed_take(struct passed **ret_passed)
{
	unsigned count = announced(), found = 0, own = 0;
	const char *given = getenv("LISTEN_FDNAMES");
	char *names = given ? strdup(given) : NULL, *rest = names;
	char *left = given ? calloc(1, strlen(given) + 1) : NULL;
	struct passed *passed = calloc(count + 1, sizeof(*passed));
	if (!count || !passed || (given && (!names || !left))) {
		free(passed);
		passed = NULL;
		count = 0;
	}
	for (unsigned i = 0; i < count; i++) {
		const char *name = rest ? strsep(&rest, ":") : "";
		bool stored = !strncmp(name, PASSED_PREFIX, strlen(PASSED_PREFIX));
		int fd = FIRST + (int)i;
		int copy = fcntl(fd, F_DUPFD_CLOEXEC, FIRST + (int)count);
		if (copy >= 0) {
			struct passed *one = &passed[found++];
			*one = (struct passed){.fd = copy, .is_stored = stored};
			if (stored)
				snprintf(one->name, sizeof(one->name), "%s",
				        name + strlen(PASSED_PREFIX));
		}
		if (stored) {
			close(fd);
			continue;
		}
		if (left)
			(void)strcat(strcat(left, own ? ":" : ""), name);
		move_down(fd, FIRST + (int)own++);
	}
	if (count)
		announce(own, left);
	free(names);
	free(left);
	*ret_passed = passed;
	return found;
}
