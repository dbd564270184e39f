/* SPDX-License-Identifier: MIT */
/* Wrappers: programs that execute another program, which their command line names. */
#pragma once

#include <stdbool.h>

#include "helper/check/words.h"
#include "helper/process/lookup.h"

enum wrapper_answer {
	WRAPPER_NONE,      /* not a wrapper, or without a program to execute */
	WRAPPER_FOLLOWED,  /* the words are now the command that it executes */
	WRAPPER_UNKNOWN,   /* the program that it executes is not known */
	WRAPPER_ELSEWHERE, /* another process starts the program: it is not our child */
};

/* The changes that the wrappers read so far make for the program. */
struct wrapping {
	struct lookup lookup;
	bool guesses;       /* a missing name may be a shell's own command, or in another PATH */
	bool clears;        /* the last one does not pass its environment on */
	const char *once;   /* how the last one prevents a second instance; or NULL */
	bool is_applet;     /* the words name an applet inside the last one's file (busybox) */
	const char *unsure; /* WRAPPER_UNKNOWN: why, as a clause about the wrapper */
};

/* Follows words->word[0], if it is a wrapper. */
enum wrapper_answer wrapper_follow(struct words *words, struct wrapping *wrapping);
