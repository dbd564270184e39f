/* SPDX-License-Identifier: MIT */
/*
 * Prints the launcher's answers: text to stdout, lines and progress to stderr.
 *
 * A progress line stays on the terminal until the next output replaces it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "helper/cli/ask.h"

/* All zero: lines are printed, progress is not. */
struct screen {
	bool terminal;    /* stderr is one: progress is shown */
	bool progress;    /* a progress line is on it now */
	bool clear_first; /* clear the screen before the next text on stdout; once */
	bool foreign;     /* the launcher is another user's: its text is made printable */
	bool quiet;       /* hold lines back instead of printing them */
	/* The lines held back, each with its newline */
	char held[8192];
	size_t held_length;
};

/* Prints one answer. Its text may be changed. An unknown kind is ignored. */
void screen_show(struct screen *screen, struct answer *answer);

/* Removes the progress line, if there is one. */
void screen_erase(struct screen *screen);

/* Prints the lines that were held back, after a command has failed: they say why. */
void screen_flush_held(struct screen *screen);
