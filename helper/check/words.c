/* SPDX-License-Identifier: MIT */
/*
 * Words, and the part of a shell's language that is needed to find the program a command line ends
 * in.
 *
 * Nothing is expanded.  A word with a variable keeps its "$", which marks the word as unknown.
 */
#include "helper/check/words.h"

#include <ctype.h>
#include <string.h>

#include "helper/base/util.h"

void words_set(struct words *words, char *const command[])
{
	words->used = 0;
	for (words->count = 0; command[words->count] && words->count < WORDS_MAX; words->count++)
		words->word[words->count] = command[words->count];
	words->word[words->count] = NULL;
}

bool words_replace(struct words *words, size_t removed, const char *const inserted[], size_t count)
{
	size_t kept;

	if (removed > words->count)
		removed = words->count;
	kept = words->count - removed;
	if (count > WORDS_MAX - kept || kept + count == 0)
		return false;
	memmove(words->word + count, words->word + removed, (kept + 1) * sizeof(*words->word));
	for (size_t i = 0; i < count; i++)
		words->word[i] = inserted[i];
	words->count = kept + count;
	return true;
}

const char *words_copy(struct words *words, const char *text, size_t length)
{
	char *copy = words->text + words->used;

	if (length >= sizeof(words->text) - words->used)
		return NULL;
	memcpy(copy, text, length);
	copy[length] = '\0';
	words->used += length + 1;
	return copy;
}

/* ---- taking a text apart ---- */

/* The position in one text, and the command that is read there. */
struct parser {
	struct words *words;
	const char *at;
	const char *list[WORDS_MAX]; /* the words of the command so far */
	size_t count;
	char *start; /* of the present word; NULL: between words */
	char *end;
	bool is_full;
};

/* Also for an empty word. Without room it overwrites the last NUL, and is_full is set. */
static void begin_word(struct parser *parser)
{
	struct words *words = parser->words;

	if (parser->start)
		return;
	if (words->used == sizeof(words->text)) {
		parser->is_full = true;
		words->used--;
	}
	parser->start = parser->end = words->text + words->used;
}

static void put(struct parser *parser, char c)
{
	struct words *words = parser->words;

	begin_word(parser);
	if (parser->end + 1 >= words->text + sizeof(words->text))
		parser->is_full = true;
	else
		*parser->end++ = c;
}

static void end_word(struct parser *parser)
{
	if (!parser->start)
		return;
	*parser->end = '\0';
	parser->words->used = (size_t)(parser->end + 1 - parser->words->text);
	if (parser->count == COUNT(parser->list))
		parser->is_full = true;
	else
		parser->list[parser->count++] = parser->start;
	parser->start = NULL;
}

/* Reads a quoted text from its opening quote on; false: the quote is not closed. */
static bool take_quoted(struct parser *parser)
{
	char quote = *parser->at++;

	begin_word(parser);
	while (*parser->at && *parser->at != quote) {
		if (quote == '"' && *parser->at == '\\' && parser->at[1] &&
		        strchr("\\\"$`\n", parser->at[1]))
			parser->at++;
		put(parser, *parser->at++);
	}
	return *parser->at++ == quote;
}

int words_split(struct words *words, size_t removed, const char *text)
{
	struct parser parser = {.words = words, .at = text};

	while (*parser.at) {
		if (*parser.at == ' ' || *parser.at == '\t') {
			end_word(&parser);
			parser.at++;
		} else if (*parser.at == '"' || *parser.at == '\'') {
			if (!take_quoted(&parser))
				return -1;
		} else if (strchr("\\$#", *parser.at)) {
			return -1;
		} else {
			put(&parser, *parser.at++);
		}
	}
	if (parser.start && parser.end + 1 >= words->text + sizeof(words->text))
		return -1;
	end_word(&parser);
	if (parser.is_full || !words_replace(words, removed, parser.list, parser.count))
		return -1;
	return (int)parser.count;
}

/* ---- a shell's commands ---- */

/* After such a first word more than one command follows, or none that is a program. */
static bool is_reserved(const char *word)
{
	static const char *const reserved[] = {"!", "{", "}", "[[", "case", "do", "done", "elif",
	        "else", "esac", "fi", "for", "function", "if", "then", "until", "while"};

	for (size_t i = 0; i < COUNT(reserved); i++)
		if (!strcmp(word, reserved[i]))
			return true;
	return false;
}

static bool is_assignment(const char *word)
{
	const char *c = word;

	while (isalnum((unsigned char)*c) || *c == '_')
		c++;
	return c > word && *c == '=' && !isdigit((unsigned char)*word);
}

/* Skips "2>file": neither the digit nor the file is a word of the command. False: not skipped. */
static bool take_redirection(struct parser *parser)
{
	size_t before = parser->count;

	if (parser->start) {
		bool number = true;

		for (const char *c = parser->start; c < parser->end; c++)
			number = number && isdigit((unsigned char)*c);
		if (number)
			parser->start = NULL;
		else
			end_word(parser);
		before = parser->count;
	}
	if (!strncmp(parser->at, "<<", 2) || parser->at[1] == '(')
		return false; /* a here-document, or a process substitution */
	parser->at += strspn(parser->at, "<>&|");
	parser->at += strspn(parser->at, " \t");
	while (*parser->at && !strchr(" \t\n;|&<>()", *parser->at)) {
		if (*parser->at == '"' || *parser->at == '\'') {
			if (!take_quoted(parser))
				return false;
		} else {
			put(parser, *parser->at++);
		}
	}
	end_word(parser);
	parser->count = before;
	return true;
}

/*
 * Reads a simple command and the separator behind it.  False: the command is more than words and
 * redirections.
 */
static bool take_command(struct parser *parser)
{
	parser->count = 0;
	for (;;) {
		char c = *parser->at;

		if (c == '\\' && parser->at[1] == '\n') {
			parser->at += 2;
		} else if (c == '\\' && parser->at[1]) {
			put(parser, parser->at[1]);
			parser->at += 2;
		} else if (c == '"' || c == '\'') {
			if (!take_quoted(parser))
				return false;
		} else if (c == '#' && !parser->start) {
			parser->at += strcspn(parser->at, "\n");
		} else if (c == '<' || c == '>' || (c == '&' && parser->at[1] == '>')) {
			if (!take_redirection(parser))
				return false;
		} else if (c == '(' || c == ')' || c == '`' || (c == '$' && parser->at[1] == '(')) {
			return false;
		} else if (c == '|' || c == '&') {
			/* In a pipe, list or background the program is not the shell's only one */
			return false;
		} else if (!c || c == '\n' || c == ';') {
			end_word(parser);
			if (c)
				parser->at++;
			if (parser->count > 0 || !c)
				return !parser->is_full;
		} else if (c == ' ' || c == '\t') {
			end_word(parser);
			parser->at++;
		} else {
			put(parser, c);
			parser->at++;
		}
	}
}

enum shell_command words_from_shell(struct words *words, const char *text, bool must_exec)
{
	struct parser parser = {.words = words, .at = text};
	size_t commands = 0, first = 0;
	bool executes = false;

	while (*parser.at) {
		if (!take_command(&parser))
			return SHELL_SEVERAL;
		if (parser.count == 0)
			break; /* only comments were left */
		commands++;
		first = 0;
		while (first < parser.count && is_assignment(parser.list[first]))
			first++;
		if (first == parser.count)
			continue;
		if (is_reserved(parser.list[first]))
			return SHELL_SEVERAL;
		executes = !strcmp(parser.list[first], "exec");
		if (executes && parser.count > first + 1)
			break; /* the shell does not reach the commands behind it */
		executes = false;
	}
	if (executes)
		first++;
	if (parser.count <= first || (!executes && (must_exec || commands != 1)))
		return SHELL_SEVERAL;
	if (strpbrk(parser.list[first], "$*?[~") || parser.list[first][0] == '-')
		return SHELL_BUILT;
	/*
	 * A relative path after other commands, or a name with a new PATH, cannot be looked up here
	 */
	if (strchr(parser.list[first], '/') ? parser.list[first][0] != '/' && commands > 1
	                                    : strstr(text, "PATH=") != NULL)
		return SHELL_BUILT;
	return words_replace(words, words->count, parser.list + first, parser.count - first)
	               ? SHELL_COMMAND
	               : SHELL_SEVERAL;
}
