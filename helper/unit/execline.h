/* SPDX-License-Identifier: MIT */
/*
 * A command line of a unit: ExecStart= and its like, as systemd.service(5) describes them.
 *
 * The text stays as it is written, because the new command line repeats it: quotes, specifiers (%i)
 * and variables ($OPTIONS) mean there what they mean here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { EXECLINE_WORDS_MAX = 256 };

struct execline {
	char prefix[8];   /* of the characters - @ : + ! | */
	char *text;       /* all behind the prefix, allocated */
	char **words;     /* unquoted, NULL at the end */
	char *storage;    /* of the words, allocated */
	size_t count;     /* of the words; more than 0 */
	size_t second_at; /* where the second word begins in `text`; its length if there is none */
};

/*
 * Reads a value.  0; -EINVAL: a quote is not closed, there is no command, or one that systemd does
 * not take; -E2BIG: more than EXECLINE_WORDS_MAX words; -ENOMEM.  execline_deinit() is due in all
 * cases.
 */
int execline_read(struct execline *line, const char *value);
void execline_deinit(struct execline *line);

bool execline_has_prefix(const struct execline *line, char prefix);

/*
 * Finds `part` in the text, where it begins and ends at a blank, at a quote or at an end of the
 * text.  NULL: it is not there.
 */
const char *execline_find(const char *text, const char *part);

/* Replaces that part in an allocated text.  false: it is not there, or there is no memory. */
bool execline_replace(char **text, const char *part, const char *by);

/*
 * The base name of the program: true if a word of the command, or of a script that is a word
 * (sh -c "... exec /usr/sbin/x"), is a path of a program whose base name matches the pattern.
 */
bool execline_starts(const struct execline *line, const char *pattern);
