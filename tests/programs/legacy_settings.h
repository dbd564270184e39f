/* SPDX-License-Identifier: MIT */
/* Part of legacy_daemon.h.  The values of a test daemon's options, and small helpers. */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "tests/programs/legacy.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct legacy legacy = {
        .tag = "none", .backlog = 128, .style = "", .type = SOCK_STREAM, .receive = "recvfrom"};
int legacy_worker;
volatile sig_atomic_t legacy_rebind_wanted;
void (*legacy_unbound)(void);
volatile sig_atomic_t legacy_dying;

enum stage { STAGE_START, STAGE_BOUND, STAGE_LISTENING, STAGE_WAITING };
static const char *const stage_names[] = {"start", "bound", "listening", "waiting"};

static struct {
	const char *fail;
	enum stage fail_at;
	int start_delay;
	int stop_delay;
	const char *lock;
	int ready_after;
	int ready_fd;
	bool notify;
	char **argv;
} settings = {.ready_fd = -1};

_Noreturn void legacy_die(int status, const char *what)
{
	fprintf(stderr, "%s %s: %s: %s\n", legacy.program, legacy.tag, what, strerror(errno));
	exit(status);
}

static void sleep_ms(int ms)
{
	struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		continue;
}
