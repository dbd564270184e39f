/* SPDX-License-Identifier: MIT */
/* From a command line to the program that serves: through "#!" lines and wrappers. */
#pragma once

#include <limits.h>

#include "helper/check/words.h"

enum { CHAIN_STEPS_MAX = 16 };

enum chain_kind {
	CHAIN_SCRIPT,  /* its first line, or /bin/sh, says what runs it: the next step */
	CHAIN_WRAPPER, /* becomes the next step */
	CHAIN_PROGRAM, /* the last: what all depends on, as far as can be told */
};

struct chain_step {
	char path[PATH_MAX]; /* as seen from here */
	enum chain_kind kind;
	bool clears;      /* CHAIN_WRAPPER: the environment it got does not reach the next one */
	const char *once; /* CHAIN_WRAPPER: why it runs no second one, as a clause; NULL: it does */
};

struct chain {
	struct chain_step steps[CHAIN_STEPS_MAX];
	size_t count;
	char doubt[300];     /* why the last step may not be the last: a sentence; empty: it is */
	char missing[300];   /* the word that an error is about */
	char root[PATH_MAX]; /* of the last step; empty: ours */
	bool is_elsewhere;   /* the last step has somebody else start the program */
	struct words words;
};

/*
 * NULL: no memory; else free() it.  *ret_error is 0, or -errno about `missing`: it would not be
 * found (-ENOENT) or not be executed.  Steps before it are there.
 */
struct chain *chain_new(char *const command[], int *ret_error);
