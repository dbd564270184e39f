/* SPDX-License-Identifier: MIT */
/* One connection: its state, and its end. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/harness/load/base.h"
#include "tests/harness/load/connection.h"

static const char *const phase_names[] = {"queueing", "connecting", "answer", "idle", "closing"};

struct connection live;
static struct connection *pool; /* all connections, used or not */
static struct connection *unused;

void connections_allocate(void)
{
	size_t count = (size_t)(options.in_flight + 2 * options.persistent);
	struct rlimit limit;
	pool = calloc(count, sizeof(*pool));
	if (!pool)
		fail("calloc");
	for (size_t i = 0; i < count; i++) {
		pool[i].next = unused;
		unused = &pool[i];
	}
	live.previous = live.next = &live;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		/* Too low a limit shows later, as connections that end in LOSS_ERROR. */
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

struct connection *connection_new(struct account *account)
{
	struct connection *c = unused;
	if (!c || account->in_flight >= (uint64_t)options.in_flight)
		return NULL;
	unused = c->next;
	c->previous = live.previous;
	c->next = &live;
	live.previous->next = c;
	live.previous = c;
	account->in_flight++;
	return c;
}

struct account *account_of(const struct connection *c)
{
	return c->persistent ? &persistent : &ordinary;
}

bool is_datagram(const struct connection *c)
{
	return c->address->type == SOCK_DGRAM;
}

void connection_end(struct connection *c)
{
	struct account *account = account_of(c);
	if (c->fd >= 0)
		close(c->fd);
	if (c->persistent && c->tag >= 0)
		account->tags[c->tag].open--;
	account->in_flight--;
	c->previous->next = c->next;
	c->next->previous = c->previous;
	c->next = unused;
	unused = c;
}

void connection_lose(struct connection *c, enum loss loss, int error)
{
	struct failure failure = {.loss = loss,
	        .phase = phase_names[c->phase],
	        .persistent = c->persistent,
	        .error = error,
	        .started = c->started,
	        .at = now()};
	if (c->tag >= 0)
		memcpy(failure.tag, account_of(c)->tags[c->tag].name, sizeof(failure.tag));
	size_t most = sizeof(failure.excerpt) - 1;
	memcpy(failure.excerpt, c->answer, c->received < most ? c->received : most);
	account_lose(account_of(c), &failure);
	connection_end(c);
}

void connection_fail(struct connection *c, int error)
{
	switch (error) {
	case ENOENT:
	case ECONNREFUSED: connection_lose(c, LOSS_REFUSED, error); return;
	case ECONNRESET:
	case EPIPE: connection_lose(c, LOSS_RESET, error); return;
	case ETIMEDOUT: connection_lose(c, LOSS_TIMED_OUT, error); return;
	default: connection_lose(c, LOSS_ERROR, error); return;
	}
}
