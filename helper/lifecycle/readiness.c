/* SPDX-License-Identifier: MIT */
/* When is a generation ready? */
#include "helper/lifecycle/readiness.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "helper/kernel/tree.h"
#include "helper/process/discard.h"
#include "helper/process/inherited.h"

static void pipe_readable(void *context);

int readiness_init(
        struct readiness *readiness, struct instance *instance, struct generation *generation)
{
	*readiness = (struct readiness){
	        .instance = instance, .generation = generation, .input.fd = -1, .pipe = -1};
	readiness->input.context = readiness;
	switch (generation->settings.ready) {
	case READY_FD: {
		int ends[2];
		if (pipe2(ends, O_CLOEXEC) < 0)
			return -errno;
		readiness->input.fd = ends[0];
		readiness->input.ready = pipe_readable;
		readiness->pipe = ends[1];
		if (fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
			return -errno;
		return loop_watch(&readiness->input);
	}
	case READY_SERVING:
	case READY_NOTIFY:
	case READY_EXEC: return 0;
	}
	return -EINVAL;
}

static void is_ready(struct readiness *readiness)
{
	void (*ready)(void *) = readiness->ready;
	void *context = readiness->context;
	readiness_deinit(readiness);
	ready(context);
}

/* ---- listeners ---- */

/* A new socket without a waiter delays readiness until so long after the last bind(). */
static const nanoseconds UNUSED_PATIENCE = 5 * SECOND;
/*
 * A version without any of the served listeners may still bind one, until so long after a bind().
 */
static const nanoseconds STRANGER_PATIENCE = SECOND;

static bool has_not_bound_for(const struct generation *generation, nanoseconds time)
{
	return now() - generation->last_bind > time;
}

static bool calls_itself_ready(const struct readiness *readiness)
{
	enum readiness_kind kind = readiness->generation->settings.ready;
	return kind == READY_NOTIFY || kind == READY_FD;
}

/* Does an earlier generation accept there, as far as its shim has said? */
static bool is_served(const struct readiness *readiness, uint32_t i)
{
	const struct generation *acceptor = instance_acceptor(readiness->instance, i);
	return acceptor && acceptor != readiness->generation && generation_waits_on(acceptor, i);
}

/* Does an earlier generation accept at an address that overlaps this one, as 0.0.0.0 does? */
static bool replaces_served(const struct readiness *readiness, uint32_t i)
{
	struct instance *instance = readiness->instance;
	const struct identity *identity = &instance_listener(instance, i)->identity;
	for (uint32_t j = 0; j < instance->store.count; j++)
		if (identity_overlaps(&instance_listener(instance, j)->identity, identity) &&
		        is_served(readiness, j))
			return true;
	return false;
}

/* Does this listener delay readiness because no process of the generation waits there? */
static bool is_without_waiter(const struct readiness *readiness, uint32_t i)
{
	const struct generation *generation = readiness->generation;
	if (!generation->holds[i] || generation_waits_on(generation, i) ||
	        instance_listener(readiness->instance, i)->state == LISTENER_GONE)
		return false;
	bool known = false, served = false;
	for (const struct generation *g = generation->older; g; g = g->older) {
		known |= g->holds[i] != HOLDS_NOT;
		served |= generation_waits_on(g, i);
	}
	return known ? served : !has_not_bound_for(generation, UNUSED_PATIENCE);
}

/* The first such listener, or -1. */
static int find_without_waiter(const struct readiness *readiness)
{
	for (uint32_t i = 0; i < readiness->instance->store.count; i++)
		if (is_without_waiter(readiness, i))
			return (int)i;
	return -1;
}

/*
 * Can the generation take over one served listener at least?  The others may be unwanted or bound
 * late, and stay with the generations that serve them (helper/switch/moves.h).
 */
static bool is_successor(const struct readiness *readiness)
{
	const struct generation *generation = readiness->generation;
	bool served = false;
	for (uint32_t i = 0; i < readiness->instance->store.count; i++) {
		served |= is_served(readiness, i);
		if (generation->holds[i] &&
		        (calls_itself_ready(readiness) || generation_waits_on(generation, i)) &&
		        (is_served(readiness, i) || replaces_served(readiness, i)))
			return true;
	}
	return !served || (generation->held && has_not_bound_for(generation, STRANGER_PATIENCE));
}

/* With ->awaits_turn clients wait at all listeners, so one listener with a waiter is enough. */
static bool is_serving(const struct readiness *readiness)
{
	return generation_waits(readiness->generation) &&
	       (readiness->generation->awaits_turn ||
	               (find_without_waiter(readiness) < 0 && is_successor(readiness)));
}

void readiness_print_obstacle(const struct readiness *readiness, char *text, size_t size)
{
	char name[LISTENER_TEXT];
	int i = find_without_waiter(readiness);
	if (readiness->generation->settings.ready != READY_SERVING && !readiness->said)
		snprintf(text, size, "no report of its readiness has come");
	else if (!readiness->generation->held)
		snprintf(text, size, "it has taken up no listening socket");
	else if (i >= 0) {
		listener_print(
		        instance_listener(readiness->instance, (uint32_t)i), name, sizeof(name));
		snprintf(text, size, "no process of it waits for connections at %s", name);
	} else
		snprintf(text, size, "no process of it waits for connections");
}

static void start_probe(struct readiness *readiness);

/*
 * On a busy machine the daemon may serve before its keeper has reported its pid.  The switch waits
 * for that report.  Otherwise "took over" could be logged before "started", or without it, and the
 * status would not know the pid.
 */
static bool may_switch(const struct readiness *readiness)
{
	enum readiness_kind kind = readiness->generation->settings.ready;
	if (!readiness->generation->executed)
		return false;
	if (calls_itself_ready(readiness))
		return readiness->said && is_successor(readiness);
	return is_serving(readiness) && (kind == READY_SERVING || readiness->said);
}

static void look(void *context)
{
	struct readiness *readiness = context;
	enum readiness_kind kind = readiness->generation->settings.ready;
	nanoseconds began = now();
	if (may_switch(readiness)) {
		is_ready(readiness);
		return;
	}
	if (kind == READY_EXEC && is_serving(readiness) && !readiness->probe &&
	        now() - readiness->probed_at >= 200 * MILLISECOND)
		start_probe(readiness);
	if (calls_itself_ready(readiness) && !readiness->said)
		return; /* the socket or the pipe calls look() again */
	nanoseconds waited = now() - readiness->generation->started;
	nanoseconds pause = waited < 5 * SECOND ? MILLISECOND / 4 : 10 * MILLISECOND;
	/* With thousands of listeners a look takes long: the loop has requests to answer, too. */
	nanoseconds cost = now() - began;
	loop_after(&readiness->look, pause > 4 * cost ? pause : 4 * cost);
}

/*
 * The daemon may accept by ways that the shim does not see.  So its word counts as much as a
 * waiting process.
 */
static void trust_what_it_holds(struct readiness *readiness)
{
	for (uint32_t i = 0; i < readiness->instance->store.count; i++)
		readiness->generation->trusted[i] |= readiness->generation->holds[i] != HOLDS_NOT;
}

static void heard(struct readiness *readiness)
{
	readiness->said = true;
	if (calls_itself_ready(readiness))
		trust_what_it_holds(readiness);
	look(readiness);
}

/* ---- notify ---- */

void readiness_notified(struct readiness *readiness)
{
	if (readiness->ready && readiness->generation->settings.ready == READY_NOTIFY)
		heard(readiness);
}

/* ---- fd=N ---- */

static void pipe_readable(void *context)
{
	struct readiness *readiness = context;
	char text[256];
	ssize_t length = read(readiness->input.fd, text, sizeof(text));
	if (length > 0 && memchr(text, '\n', (size_t)length))
		heard(readiness);
	else if (length == 0)
		loop_unwatch(&readiness->input); /* closed without a newline: the timeout tells */
}

/* ---- exec=CMD ---- */

static void start_probe(struct readiness *readiness)
{
	readiness->probed_at = now();
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		inherited_give();
		execl("/bin/sh", "sh", "-c", readiness->generation->settings.ready_command,
		        (char *)NULL);
		_exit(127);
	}
	if (pid > 0) {
		setpgid(pid, pid);
		readiness->probe = pid;
		discard_hold();
	}
}

bool readiness_reaped(struct readiness *readiness, pid_t pid, int status)
{
	if (!pid || readiness->probe != pid)
		return false;
	readiness->probe = 0;
	discard_release();
	if (status == 0)
		heard(readiness);
	return true;
}

void readiness_await(struct readiness *readiness, void (*ready)(void *), void *context)
{
	readiness->ready = ready;
	readiness->context = context;
	readiness->look.fire = look;
	readiness->look.context = readiness;
	fd_close(&readiness->pipe);
	if (!calls_itself_ready(readiness))
		loop_after(&readiness->look, MILLISECOND);
}

void readiness_deinit(struct readiness *readiness)
{
	if (!readiness->instance)
		return;
	loop_cancel(&readiness->look);
	loop_unwatch(&readiness->input);
	fd_close(&readiness->input.fd);
	fd_close(&readiness->pipe);
	if (readiness->probe) {
		kill(-readiness->probe, SIGKILL); /* the supervisor reaps it as any orphan */
		discard_release();
	}
	*readiness = (struct readiness){.input.fd = -1, .pipe = -1};
}
