/* SPDX-License-Identifier: MIT */
/*
 * Follows a command line.
 *
 * A script is replaced by its interpreter with the script as argument, as the kernel does.  So the
 * same code reads "env -S" in a first line and on a command line, and the same code reads "sh -c"
 * and a shell script that ends in "exec PROGRAM".
 */
#include "helper/check/chain.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/file.h"
#include "helper/base/util.h"
#include "helper/check/wrapper.h"

enum {
	SCRIPTS_MAX = 4, /* in a row, the same limit as the kernel's */
	HEAD = 256,      /* the kernel reads as much of the first line */
	SCRIPT_SIZE_MAX = 64 * 1024,
};

struct follower {
	struct chain *chain;
	struct wrapping wrapping;
	unsigned scripts; /* so far, in a row */
	char script[PATH_MAX];
};

/* ---- scripts ---- */

/*
 * The first line of a script as words: the interpreter, and the rest of the line as one word, as in
 * the kernel.  Returns the number of words; 0: the kernel would refuse the line.
 */
static size_t read_first_line(
        struct words *words, const char *head, size_t length, const char *ret_words[2])
{
	size_t end = 2, start = 2, name;
	bool is_cut;

	while (end < length && head[end] != '\n' && head[end] != '\0')
		end++;
	is_cut = end == length && length == HEAD;
	while (end > start && (head[end - 1] == ' ' || head[end - 1] == '\t'))
		end--;
	while (start < end && (head[start] == ' ' || head[start] == '\t'))
		start++;
	name = start;
	while (name < end && head[name] != ' ' && head[name] != '\t')
		name++;
	/* The kernel refuses a path that is cut off by the limit, but takes a cut argument */
	if (name == start || (is_cut && name == end))
		return 0;
	ret_words[0] = words_copy(words, head + start, name - start);
	while (name < end && (head[name] == ' ' || head[name] == '\t'))
		name++;
	ret_words[1] = words_copy(words, head + name, end - name);
	return !ret_words[0] || !ret_words[1] ? 0 : name < end ? 2 : 1;
}

/*
 * The last line of a shell script that is not a comment, with the lines it continues; NULL: none.
 */
static const char *last_line(char *text)
{
	char *end = text + strlen(text), *line;

	for (;;) {
		while (end > text && strchr(" \t\n", end[-1]))
			end--;
		*end = '\0';
		line = end;
		while (line > text && (line[-1] != '\n' || (line - 1 > text && line[-2] == '\\')))
			line--;
		if (line == end)
			return NULL;
		if (*line != '#')
			return line;
		end = line;
	}
}

/* With a second "exec" in the script, the one in the last line may not be reached. */
static bool has_one_exec(const char *text)
{
	unsigned count = 0;

	for (const char *at = strstr(text, "exec "); at; at = strstr(at + 1, "exec ")) {
		const char *word = at + 5 + strspn(at + 5, " \t0123456789");

		if ((at == text || strchr(" \t\n;&|(", at[-1])) && !strchr("<>&\n", *word))
			count++;
	}
	return count == 1;
}

/* Replaces the words by the program that the script's last line executes. False: not known. */
static bool follow_script_end(struct follower *follower, const char *path)
{
	struct words *words = &follower->chain->words;
	CLEANUP(file_close) struct file file = {.fd = -1};
	CLEANUP(string_free) char *text = NULL;
	const char *line;

	if (file_open(&file, path) < 0 || file.size > SCRIPT_SIZE_MAX)
		return false;
	text = malloc(file.size + 1);
	if (!text || !file_read(&file, 0, text, file.size))
		return false;
	text[file.size] = '\0';
	if (strlen(text) != file.size || !has_one_exec(text) || strstr(text, "PATH="))
		return false;
	line = last_line(text);
	if (!line || strncmp(line, "exec", 4) != 0 ||
	        words_from_shell(words, line, true) != SHELL_COMMAND)
		return false;
	/* A relative path depends on the directory to which the script has changed */
	return !strchr(words->word[0], '/') || words->word[0][0] == '/';
}

static bool is_shell(const char *path)
{
	static const char *const shells[] = {"sh", "dash", "bash", "ash", "ksh", "mksh", "zsh"};

	for (size_t i = 0; i < COUNT(shells); i++)
		if (!strcmp(path_base(path), shells[i]))
			return true;
	return false;
}

/* ---- the steps ---- */

static void doubt(struct chain *chain, const char *path, const char *what)
{
	(void)snprintf(chain->doubt, sizeof(chain->doubt), "%.150s %.140s", path, what);
}

/* 1: a script, and the words are now its interpreter's command; 0: not a script; -errno. */
static int follow_script(struct follower *follower, const char *path)
{
	struct words *words = &follower->chain->words;
	CLEANUP(file_close) struct file file = {.fd = -1};
	const char *line[3] = {0};
	char head[HEAD];
	size_t length, count = 0;
	int result = file_open(&file, path);

	if (result < 0)
		return result;
	if (file.fd < 0)
		return 0;
	length = file.size < sizeof(head) ? (size_t)file.size : sizeof(head);
	if (!file_read(&file, 0, head, length))
		return -EIO;
	if (length >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG))
		return 0;
	if (length > 2 && head[0] == '#' && head[1] == '!')
		count = read_first_line(words, head, length, line);
	if (count == 0) {
		/*
		 * The kernel refuses a file without a usable first line; execvp() runs it by the
		 * shell
		 */
		if (memchr(head, '\0', length))
			return 0;
		line[count++] = "/bin/sh";
	}
	line[count++] = words_copy(words, path, strlen(path));
	if (!line[count - 1] || !words_replace(words, 1, line, count))
		return -E2BIG;
	(void)snprintf(follower->script, sizeof(follower->script), "%s", path);
	return 1;
}

/* True: the words are now the program that the script's shell executes. */
static bool follow_shell_script(struct follower *follower, const char *path)
{
	struct chain *chain = follower->chain;

	if (!is_shell(chain->words.word[0]))
		return false;
	/* The command is "sh FILE" */
	if (!*follower->script && !*follower->wrapping.lookup.root && chain->words.count > 1 &&
	        chain->words.word[1][0] != '-')
		(void)snprintf(
		        follower->script, sizeof(follower->script), "%s", chain->words.word[1]);
	if (!*follower->script)
		return false;
	if (follow_script_end(follower, follower->script)) {
		follower->wrapping.guesses = true;
		*follower->script = '\0';
		return true;
	}
	(void)snprintf(chain->doubt, sizeof(chain->doubt),
	        "%.120s is a script for %.60s: what it starts cannot be told", follower->script,
	        path);
	return false;
}

/* Adds one step. 1: another one follows; 0: this was the last; -errno. */
static int follow(struct follower *follower)
{
	struct chain *chain = follower->chain;
	struct wrapping *wrapping = &follower->wrapping;
	struct chain_step *step = &chain->steps[chain->count];
	char path[PATH_MAX], word[sizeof(chain->missing)];
	int result;

	(void)snprintf(word, sizeof(word), "%s", chain->words.word[0]);
	if (wrapping->is_applet) {
		memcpy(path, chain->steps[chain->count - 1].path, sizeof(path));
		result = 0;
	} else {
		result =
		        lookup_program(&wrapping->lookup, chain->words.word[0], path, sizeof(path));
	}
	if (result < 0 && chain->count > 0 && (result == -ENOSYS || wrapping->guesses)) {
		doubt(chain, word, "is not found here, so the program that runs is not known");
		chain->steps[chain->count - 1].kind = CHAIN_PROGRAM;
		return 0;
	}
	if (result < 0) {
		(void)snprintf(chain->missing, sizeof(chain->missing), "%s", word);
		return result;
	}
	if (chain->count == COUNT(chain->steps))
		return -ELOOP;
	chain->count++;
	memcpy(step->path, path, sizeof(path));
	step->kind = CHAIN_WRAPPER;

	switch (wrapper_follow(&chain->words, wrapping)) {
	case WRAPPER_FOLLOWED:
		follower->scripts = 0;
		*follower->script = '\0';
		step->clears = wrapping->clears;
		step->once = wrapping->once;
		return 1;
	case WRAPPER_UNKNOWN:
		doubt(chain, path, wrapping->unsure);
		step->kind = CHAIN_PROGRAM;
		return 0;
	case WRAPPER_ELSEWHERE: chain->is_elsewhere = true; return 0;
	case WRAPPER_NONE: break;
	}
	if (follow_shell_script(follower, path)) {
		follower->scripts = 0;
		return 1;
	}
	result = follow_script(follower, path);
	if (result < 0)
		(void)snprintf(chain->missing, sizeof(chain->missing), "%s", word);
	step->kind = result > 0 ? CHAIN_SCRIPT : CHAIN_PROGRAM;
	if (result > 0 && follower->scripts++ >= SCRIPTS_MAX)
		return -ELOOP;
	return result;
}

struct chain *chain_new(char *const command[], int *ret_error)
{
	struct chain *chain = calloc(1, sizeof(*chain));
	struct follower follower = {
	        .chain = chain, .wrapping.lookup = {.path = getenv("PATH"), .root = ""}};
	int result;

	if (!chain)
		return NULL;
	words_set(&chain->words, command);
	do
		result = follow(&follower);
	while (result > 0);
	(void)snprintf(chain->root, sizeof(chain->root), "%s", follower.wrapping.lookup.root);
	*ret_error = result;
	return chain;
}
