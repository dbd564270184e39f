/* SPDX-License-Identifier: MIT */
/* The launcher's messages to the service manager that has started it. */
#include "helper/lifecycle/manager.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* A manager waits at least so long from now on; told each second. */
static const nanoseconds EXTENSION = 5 * SECOND;

static const nanoseconds PACE = 100 * MILLISECOND;

static int manager = -1;
static struct timer extending, watchdog, passing_on;
static nanoseconds watchdog_pause; /* 0: the manager does not watch */
static uint32_t has_own_watchdog;  /* the generation that has said WATCHDOG=1 last; 0: none */
static bool was_ready, ends;
static bool may_store;
static nanoseconds fed;   /* when the daemon's last WATCHDOG=1 was passed on */
static char known[256];   /* what print_status() said the last time */
static char heard[320];   /* the daemon's */
static uint32_t heard_of; /* the generation that has said it */

bool manager_is_there(void)
{
	return manager >= 0;
}

bool manager_may_store(void)
{
	return manager >= 0 && may_store;
}

bool manager_say(const char *text, int fd)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec data = {(char *)text, strlen(text)};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
	if (manager < 0)
		return false;
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
		        .cmsg_level = SOL_SOCKET,
		        .cmsg_type = SCM_RIGHTS};
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(manager, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

static void tell(const char *text)
{
	(void)manager_say(text, -1);
}

/* ---- status ---- */

static void print_status(const struct instance *instance, char *text, size_t size)
{
	size_t connections = 0;
	unsigned older = 0;
	const struct generation *current = instance->current;
	for (const struct generation *g = instance->newest; g; g = g->older)
		if (g != current && g->is_ready) {
			older++;
			connections += g->connections;
		}
	int length = current ? snprintf(text, size, "generation %u serves", current->id)
	                     : snprintf(text, size, "%s", instance_state_name(instance->state));
	if (older)
		snprintf(text + length, size - (size_t)length,
		        ", %zu connections with %u older generation%s", connections, older,
		        older == 1 ? "" : "s");
}

/* `first`: other lines, each with its newline, or "". */
static void tell_with_status(const char *first, const char *status)
{
	char text[1024];
	snprintf(text, sizeof(text), "%sSTATUS=%s", first, status);
	tell(text);
}

/* Another status, that of a failure or the daemon's own, stays until something changes. */
void manager_tell_status(struct instance *instance)
{
	char status[sizeof(known)];
	if (manager < 0)
		return;
	print_status(instance, status, sizeof(status));
	if (strcmp(known, status) != 0)
		tell_with_status("", status);
	snprintf(known, sizeof(known), "%s", status);
}

/* ---- while something takes time ---- */

static void extend(void *context)
{
	char text[64];
	(void)context;
	snprintf(text, sizeof(text), "EXTEND_TIMEOUT_USEC=%lld", (long long)(EXTENSION / 1000));
	tell(text);
	loop_after(&extending, SECOND);
}

static void takes_time(struct instance *instance)
{
	if (manager < 0)
		return;
	extending.fire = extend;
	extending.context = instance;
	loop_after(&extending, SECOND);
}

/* A current generation with a watchdog of its own answers for itself. */
static void feed_watchdog(void *context)
{
	const struct instance *instance = context;
	if (!instance->current || instance->current->id != has_own_watchdog)
		tell("WATCHDOG=1");
	loop_after(&watchdog, watchdog_pause);
}

/* ---- what the daemon says ---- */

static void pass_on_last(void *context)
{
	const struct instance *instance = context;
	if (instance->current && instance->current->id == heard_of)
		tell_with_status("", heard);
}

static void pass_on_soon(struct instance *instance)
{
	passing_on.fire = pass_on_last;
	passing_on.context = instance;
	if (heard_of && !passing_on.armed)
		loop_after(&passing_on, PACE);
}

/* ---- what happens ---- */

void manager_upgrade_begins(struct instance *instance)
{
	char first[96];
	struct timespec time;
	(void)clock_gettime(CLOCK_MONOTONIC, &time);
	print_status(instance, known, sizeof(known));
	snprintf(first, sizeof(first), "RELOADING=1\nMONOTONIC_USEC=%lld\n",
	        (long long)time.tv_sec * 1000000 + time.tv_nsec / 1000);
	tell_with_status(first, known);
	takes_time(instance);
}

/* READY=1 also after a failure: the service is as it was, and the manager waits for the word. */
void manager_upgrade_ends(struct instance *instance, bool failed)
{
	char status[512];
	if (ends)
		return;
	loop_cancel(&extending);
	print_status(instance, known, sizeof(known));
	if (!failed)
		snprintf(status, sizeof(status), "%s", known);
	else
		snprintf(status, sizeof(status), "the upgrade has failed: %.200s; %s",
		        instance->upgrades.last_reason, known);
	for (char *at = status; *at; at++)
		if (*at == '\n')
			*at = ' ';
	tell_with_status(failed ? "READY=1\nERRNO=22\n" : "READY=1\n", status);
	if (!failed)
		pass_on_soon(instance);
}

void manager_serves(struct instance *instance)
{
	print_status(instance, known, sizeof(known));
	if (!was_ready)
		loop_cancel(&extending);
	tell_with_status(was_ready ? "" : "READY=1\n", known);
	was_ready = true;
	pass_on_soon(instance);
}

void manager_ends(struct instance *instance)
{
	if (ends)
		return;
	ends = true;
	tell("STOPPING=1");
	manager_tell_status(instance);
	takes_time(instance);
}

/* A daemon may talk all the time: the manager hears the last of it, ten times a second. */
void manager_pass_on(struct instance *instance, const struct generation *generation,
        const struct notification *notification)
{
	if (manager < 0)
		return;
	if (notification->watchdog && generation == instance->current && now() - fed >= PACE) {
		has_own_watchdog = generation->id;
		fed = now();
		tell("WATCHDOG=1");
	}
	if (!notification->status[0])
		return;
	snprintf(heard, sizeof(heard), "generation %u: %s", generation->id, notification->status);
	heard_of = generation->id;
	pass_on_soon(instance);
}

/* ---- start ---- */

static int reach(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strlen(name);
	if ((name[0] != '@' && name[0] != '/') || length >= sizeof(address.sun_path))
		return -1;
	memcpy(address.sun_path, name, length);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address,
	                       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
		fd_close(&fd);
	return fd;
}

void manager_open(struct instance *instance)
{
	const char *name = getenv("NOTIFY_SOCKET"), *pid = getenv("WATCHDOG_PID");
	const char *usec = getenv("WATCHDOG_USEC"), *stored = getenv("FDSTORE");
	manager = name ? reach(name) : -1;
	if (manager < 0)
		return;
	(void)unsetenv("NOTIFY_SOCKET");
	/* systemd 254 and later tells how many descriptors its store may have; earlier ones do not. */
	may_store = !stored || strcmp(stored, "0") != 0;
	(void)unsetenv("FDSTORE");
	takes_time(instance);
	long long time = usec ? strtoll(usec, NULL, 10) : 0;
	if (time <= 0 || (pid && atol(pid) != getpid()))
		return;
	watchdog_pause = time * 1000 / 3;
	watchdog.fire = feed_watchdog;
	watchdog.context = instance;
	loop_after(&watchdog, 0);
}
