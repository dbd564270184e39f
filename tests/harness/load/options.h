/* SPDX-License-Identifier: MIT */
/* The command line of the load client. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "tests/harness/load/address.h"

enum { ADDRESSES_MAX = 1024 };

/* Bytes and a length, because binary protocols contain zeros. */
struct text {
	const char *bytes; /* NULL: none */
	size_t length;
};

enum mode { MODE_REQUEST, MODE_BANNER, MODE_HTTP };

struct options {
	struct address address[ADDRESSES_MAX];
	size_t addresses;
	enum mode mode;
	long rate;
	double duration;
	struct text send;
	struct text until;
	struct text expect_prefix;
	struct text tag_after;
	struct text tag_before;
	struct text farewell;
	long persistent;
	long persistent_every;
	struct text persistent_send;
	long timeout;
	long in_flight;
	long sources;
	bool progress;
	bool control;
};
extern struct options options;

/* Fills in `options`, or exits with status 2 and a complaint. */
void options_parse(int argc, char **argv);
