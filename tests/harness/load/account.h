/* SPDX-License-Identifier: MIT */
/*
 * Counts what the clients saw: answers per generation (the tag), losses per kind, the first
 * failures in full, and latencies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAGS_MAX = 64, TAG_LENGTH = 96, FAILURES_MAX = 256 };

/* What can become of a connection, apart from an answer. */
enum loss {
	LOSS_REFUSED,   /* ECONNREFUSED, also of a datagram; ENOENT: no such path */
	LOSS_RESET,     /* ECONNRESET or EPIPE at any time before the orderly end */
	LOSS_CUT,       /* the server's end of file before the complete answer */
	LOSS_TIMED_OUT, /* no answer, or no orderly end after it */
	LOSS_WRONG,     /* another answer than the expected one */
	LOSS_DUPLICATE, /* a second answer to one datagram */
	LOSS_ERROR,     /* any other error */
	LOSS_OVERFLOW,  /* not started: too many in flight */
	LOSSES,
};

extern const char *const loss_names[LOSSES];

struct tag {
	char name[TAG_LENGTH];
	uint64_t answered;
	uint64_t connections;
	int64_t open;
	int64_t first_started, last_started;
	int64_t first_answered, last_answered;
};

/* One for ordinary connections, one for persistent ones. */
struct account {
	uint64_t started;
	uint64_t answered;
	uint64_t closed; /* in order: by the client first, or by a server that had answered */
	uint64_t lost[LOSSES];
	uint64_t in_flight;
	struct tag tags[TAGS_MAX];
	int tag_count;
};
extern struct account ordinary, persistent;

struct failure {
	enum loss loss;
	const char *phase; /* of the connection */
	bool persistent;
	int error;
	int64_t started, at;
	char tag[TAG_LENGTH];
	char excerpt[48];
};

struct failures {
	struct failure entries[FAILURES_MAX];
	size_t count;
};
extern struct failures failures;

/* Returns the index of the tag.  Adds a new tag; if the table is full, returns the last index. */
int account_tag(struct account *account, const char *name);

/* Counts an answer from the tag, at `at`, on a connection that was started at `started`. */
void tag_answered(struct tag *tag, int64_t started, int64_t at);

/* Counts the loss, and keeps a copy unless many of that kind are kept already. */
void account_lose(struct account *account, const struct failure *failure);

void latency_record(int64_t nanoseconds);

/* Must be called before latency_at(). */
void latencies_sort(void);

/* The latency, in milliseconds, that the given share (0 to 1) of the answers did not exceed. */
double latency_at(double share);
