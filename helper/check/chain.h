/* SPDX-License-Identifier: MIT */
/* From a command line through "#!" lines and wrappers to the program that serves. */
#pragma once

#include <limits.h>

#include "helper/check/words.h"

enum { CHAIN_STEPS_MAX = 16 };

enum chain_kind {
	CHAIN_SCRIPT,  /* run by the interpreter in its first line, or /bin/sh: the next step */
	CHAIN_WRAPPER, /* a program that executes the next step */
	CHAIN_PROGRAM, /* the last step: the program that is judged */
};

struct chain_step {
	char path[PATH_MAX]; /* seen from our root */
	enum chain_kind kind;
	bool clears;      /* CHAIN_WRAPPER: it does not pass its environment on */
	const char *once; /* CHAIN_WRAPPER, a clause: why it starts no second instance; or NULL */
};

struct chain {
	struct chain_step steps[CHAIN_STEPS_MAX];
	size_t count;
	char doubt[300];     /* a sentence: why the last step may not be the last; or empty */
	char missing[300];   /* the word that an error is about; empty: none */
	char root[PATH_MAX]; /* the root of the last step, seen from ours; empty: ours */
	bool is_elsewhere;   /* the last step asks another process to start the program */
	struct words words;
};

/*
 * Returns an allocated chain, which the caller frees by free(); NULL: no memory.  *ret_error: 0, or
 * -errno if a step cannot be executed (-ENOENT: not found).  `missing` is that step's word, unless
 * the chain is too long; the chain holds the steps before it.
 */
struct chain *chain_new(char *const command[], int *ret_error);
