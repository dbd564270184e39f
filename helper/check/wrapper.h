/* SPDX-License-Identifier: MIT */
/* Programs that do something and then become another one, which their command line names. */
#pragma once

#include <stdbool.h>

#include "helper/check/words.h"
#include "helper/process/lookup.h"

enum wrapper_answer {
	WRAPPER_NONE,      /* it is no wrapper, or wraps nothing */
	WRAPPER_FOLLOWED,  /* the words are now what it becomes */
	WRAPPER_UNKNOWN,   /* it becomes something that cannot be told */
	WRAPPER_ELSEWHERE, /* somebody else starts it: it is no process of ours */
};

/* What the wrappers so far have changed for the program. */
struct wrapping {
	struct lookup lookup;
	bool guesses;     /* what is not found may be a shell's own command, or in another PATH */
	bool clears;      /* the last one does not pass on the environment it got */
	const char *once; /* how the last one keeps a second one from running; NULL: it does not */
	bool is_applet;   /* the words name a part of the file that the last one was */
	const char *unsure; /* WRAPPER_UNKNOWN: why, as a clause about the wrapper */
};

/* What words->word[0] becomes. */
enum wrapper_answer wrapper_follow(struct words *words, struct wrapping *wrapping);
