/* SPDX-License-Identifier: MIT */
/* One connection, or one datagram and its answer: its state, and its end. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/harness/load/account.h"
#include "tests/harness/load/address.h"
#include "tests/harness/load/options.h"

enum { ANSWER_MAX = 16384 };

enum phase {
	PHASE_QUEUEING, /* the queue of a UNIX socket is full: the client tries again */
	PHASE_CONNECTING,
	PHASE_ANSWER,
	PHASE_IDLE,
	PHASE_CLOSING, /* a datagram: answered, and no second answer may come */
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

/* Appends an unused connection to `live` and counts it.  NULL: too many are in flight. */
struct connection *connection_new(struct account *account);

struct account *account_of(const struct connection *c);
bool is_datagram(const struct connection *c);

/* Each of these three closes the connection; the pointer is not valid afterwards. */
void connection_end(struct connection *c);
void connection_lose(struct connection *c, enum loss loss, int error);
void connection_fail(struct connection *c, int error); /* derives the loss from `error` */
