/* SPDX-License-Identifier: MIT */
/*
 * A command line while it is taken apart.  Words are never changed, but replaced; everything is
 * bounded, and lives as long as the struct.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { WORDS_MAX = 512, WORDS_TEXT_MAX = 64 * 1024 };

struct words {
	const char *word[WORDS_MAX + 1]; /* NULL at the end */
	size_t count;
	char text[WORDS_TEXT_MAX];
	size_t used;
};

/* More words than there is room for are left out: no program to be run is behind so many. */
void words_set(struct words *words, char *const command[]);

/*
 * Puts `inserted` in the place of the first `removed` words.  False: there is no room, or no word
 * would be left; nothing has changed then.  So there is a word[0] at every moment.
 */
bool words_replace(struct words *words, size_t removed, const char *const inserted[], size_t count);

/* A copy that lives as long as `words`; NULL: there is no room. */
const char *words_copy(struct words *words, const char *text, size_t length);

/*
 * Splits `text` as env -S does, as far as blanks and quotes go.  Returns the number of words put
 * into the place of the first `removed`, or -1: too clever for us.
 */
int words_split(struct words *words, size_t removed, const char *text);

enum shell_command {
	SHELL_COMMAND, /* the words are what the shell becomes */
	SHELL_SEVERAL, /* it runs several commands, or none that can be told */
	SHELL_BUILT,   /* the name of the program is made at run time */
};

/*
 * What a shell becomes that reads `text`: its only simple command, or the last one if that begins
 * with "exec".  On SHELL_COMMAND the words are that command, in the place of all there were.
 */
enum shell_command words_from_shell(struct words *words, const char *text, bool must_exec);
