/* SPDX-License-Identifier: MIT */
/* A command line of a unit. */
#include "helper/unit/execline.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <string.h>

#include "helper/base/util.h"

static const char BLANKS[] = " \t\r\n";
static const char ENDS[] = " \t\r\n'\"";
static const char PREFIXES[] = "-@:+!|";

/* ---- words ---- */

/* The character that an escape stands for; *text is behind the backslash and moves behind it. */
static char read_escape(const char **text)
{
	static const char letters[] = "abfnrtvs\\\"'", values[] = "\a\b\f\n\r\t\v \\\"'";
	const char *letter = strchr(letters, **text);
	char digits[3] = {0};
	char *end;

	if (letter && *letter) {
		(*text)++;
		return values[letter - letters];
	}
	if (**text == 'x' && isxdigit((unsigned char)(*text)[1]) &&
	        isxdigit((unsigned char)(*text)[2])) {
		memcpy(digits, *text + 1, 2);
		*text += 3;
		return (char)strtol(digits, &end, 16);
	}
	return '\\';
}

/* One word from *text, which moves behind it, into `to`.  0 or -EINVAL. */
static int read_word(const char **text, char *to)
{
	char quote = '\0';

	while (**text && (quote || !strchr(BLANKS, **text))) {
		char c = *(*text)++;

		if (c == '\\' && **text)
			*to++ = read_escape(text);
		else if (quote && c == quote)
			quote = '\0';
		else if (!quote && (c == '"' || c == '\''))
			quote = c;
		else
			*to++ = c;
	}
	*to = '\0';
	return quote ? -EINVAL : 0;
}

/* A word without its quotes is not longer, and its NUL takes the place of the blank behind it. */
static int read_words(struct execline *line)
{
	const char *at = line->text;
	char *word = line->storage;
	int result;

	while (*(at += strspn(at, BLANKS))) {
		if (line->count == EXECLINE_WORDS_MAX)
			return -E2BIG;
		if (line->count == 1)
			line->second_at = (size_t)(at - line->text);
		result = read_word(&at, word);
		if (result < 0)
			return result;
		line->words[line->count++] = word;
		word += strlen(word) + 1;
	}
	return line->count > 0 ? 0 : -EINVAL;
}

int execline_read(struct execline *line, const char *value)
{
	size_t count;

	*line = (struct execline){0};
	value += strspn(value, BLANKS);
	count = strspn(value, PREFIXES);
	if (count >= sizeof(line->prefix))
		return -EINVAL;
	memcpy(line->prefix, value, count);
	line->text = strdup(value + count);
	line->words = calloc(EXECLINE_WORDS_MAX + 1, sizeof(*line->words));
	line->storage = malloc(strlen(value) + 1);
	if (!line->text || !line->words || !line->storage)
		return -ENOMEM;
	line->second_at = strlen(line->text);
	return read_words(line);
}

void execline_deinit(struct execline *line)
{
	free(line->words);
	free(line->storage);
	free(line->text);
	*line = (struct execline){0};
}

bool execline_has_prefix(const struct execline *line, char prefix)
{
	return strchr(line->prefix, prefix) != NULL;
}

/* ---- parts of the text ---- */

const char *execline_find(const char *text, const char *part)
{
	size_t length = strlen(part);

	for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
		if ((at == text || strchr(ENDS, at[-1])) && strchr(ENDS, at[length]))
			return at;
	return NULL;
}

bool execline_replace(char **text, const char *part, const char *by)
{
	const char *at = execline_find(*text, part);
	size_t before, room = strlen(*text) + strlen(by) + 1;
	char *changed = at ? malloc(room) : NULL;

	if (!changed)
		return false;
	before = (size_t)(at - *text);
	memcpy(changed, *text, before);
	strcpy(changed + before, by);
	strcat(changed, at + strlen(part));
	free(*text);
	*text = changed;
	return true;
}

/* Programs lie in bin and sbin; another path is that of a file that the program reads. */
static bool is_program(const char *piece, size_t length, const char *pattern)
{
	char path[PATH_MAX];
	const char *base;

	if (length >= sizeof(path))
		return false;
	memcpy(path, piece, length);
	path[length] = '\0';
	base = path_base(path);
	return base - path >= 4 && !strncmp(base - 4, "bin/", 4) && !fnmatch(pattern, base, 0);
}

bool execline_starts(const struct execline *line, const char *pattern)
{
	if (!fnmatch(pattern, path_base(line->words[0]), 0))
		return true;
	for (size_t i = 0; i < line->count; i++) {
		const char *piece = line->words[i];

		while (*(piece += strspn(piece, " \t\r\n;&|("))) {
			size_t length = strcspn(piece, " \t\r\n;&|)");

			if (is_program(piece, length, pattern))
				return true;
			piece += length;
			piece += *piece == ')';
		}
	}
	return false;
}
