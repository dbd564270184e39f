/* SPDX-License-Identifier: MIT */
/*
 * A command line while it is taken apart.  A word is never changed, only replaced.  The number of
 * words and their size have limits.  Words live as long as the struct, or as the command of
 * words_set().
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

/* Words beyond WORDS_MAX are left out: the program's name is never behind so many. */
void words_set(struct words *words, char *const command[]);

/*
 * Replaces the first `removed` words by `inserted`.  False, and nothing changes: there is no room,
 * or no word would be left.  So word[0] always exists.
 */
bool words_replace(struct words *words, size_t removed, const char *const inserted[], size_t count);

/* A copy of `length` bytes of `text`, which lives as long as `words`; NULL: there is no room. */
const char *words_copy(struct words *words, const char *text, size_t length);

/*
 * Splits `text` at blanks and quotes, as env -S does, and replaces the first `removed` words by the
 * result.  Returns the number of new words; -1: the text has something else in it, or there is no
 * room.
 */
int words_split(struct words *words, size_t removed, const char *text);

enum shell_command {
	SHELL_COMMAND, /* the words are the command that the shell executes */
	SHELL_SEVERAL, /* it runs several commands, or none that we can recognise */
	SHELL_BUILT,   /* the name of the program is known only at run time */
};

/*
 * The command that a shell with the script `text` ends in: the only simple command, or the one that
 * begins with "exec" (`must_exec`: only that).  On SHELL_COMMAND it replaces all words.
 */
enum shell_command words_from_shell(struct words *words, const char *text, bool must_exec);
