/* SPDX-License-Identifier: MIT */
/* One connection (or one datagram and its answer): what is known of it, and its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/harness/load/account.h"
#include "tests/harness/load/address.h"
#include "tests/harness/load/options.h"

enum { ANSWER_MAX = 16384 };

enum phase {
	PHASE_QUEUEING, /* the queue of a UNIX socket is full: tried again, as a blocking call would */
	PHASE_CONNECTING,
	PHASE_ANSWER,
	PHASE_IDLE,
	PHASE_CLOSING, /* a datagram: answered, and there must not be another answer */
};

struct connection {
	struct connection *previous, *next; /* in `live`, by start; `next` also in `unused` */
	int fd;                             /* closed by connection_end() */
	const struct address *address;
	uint64_t number;
	bool persistent;
	bool retiring; /* persistent: close after the answer that is due */
	enum phase phase;
	unsigned answers;
	int tag; /* index into the table, -1: not known yet */
	int64_t started;
	int64_t deadline;
	int64_t next_request;
	const struct text *request; /* what is being sent, NULL: nothing */
	size_t sent;
	size_t received;
	char answer[ANSWER_MAX];
};

/* The ring of open connections, by start; this is its head. */
extern struct connection live;

void connections_allocate(void);

/* An unused one, appended to `live` and counted as in flight, or NULL: too many in flight. */
struct connection *connection_new(struct account *account);

struct account *account_of(const struct connection *c);
bool is_datagram(const struct connection *c);

/* Closes it.  The pointer is not valid after any of these three. */
void connection_end(struct connection *c);
void connection_lose(struct connection *c, enum loss loss, int error);
void connection_fail(struct connection *c, int error); /* the loss follows from the error */
