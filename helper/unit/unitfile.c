/* SPDX-License-Identifier: MIT */
/* The [Service] section of a unit. */
#include "helper/unit/unitfile.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "helper/base/file.h"
#include "helper/base/util.h"

enum { FILE_SIZE_MAX = 1024 * 1024 };

static const char BLANKS[] = " \t\r\n";

void unit_file_deinit(struct unit_file *file)
{
	for (size_t i = 0; i < file->count; i++) {
		free(file->list[i].key);
		free(file->list[i].value);
	}
	free(file->list);
	*file = (struct unit_file){0};
}

/* Cuts the blanks at both ends; a pointer into `text`. */
static char *strip(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length > 0 && strchr(BLANKS, text[length - 1]))
		text[--length] = '\0';
	return text;
}

static int add(struct unit_file *file, const char *key, const char *value)
{
	struct assignment one = {.key = strdup(key), .value = strdup(value)};
	struct assignment *list =
	        array_grow(file->list, file->count, &file->allocated, sizeof(*file->list));

	if (list)
		file->list = list;
	if (!list || !one.key || !one.value) {
		free(one.key);
		free(one.value);
		return -ENOMEM;
	}
	file->list[file->count++] = one;
	return 0;
}

/* One line, after continued lines are joined. */
static int take_line(struct unit_file *file, char *line, bool *in_service)
{
	char *equals;

	line = strip(line);
	if (*line == '[') {
		*in_service = !strcmp(line, "[Service]");
		return 0;
	}
	equals = strchr(line, '=');
	if (!*in_service || !equals)
		return 0;
	*equals = '\0';
	return add(file, strip(line), strip(equals + 1));
}

/* A backslash at the end continues the line, unless another one escapes it. */
static bool is_continued(const char *line, size_t length)
{
	size_t count = 0;

	while (count < length && line[length - 1 - count] == '\\')
		count++;
	return count % 2 == 1;
}

int unit_file_parse(struct unit_file *file, char *text)
{
	bool in_service = false;
	char *from = text, *to = text, *whole = text;
	int result = 0;

	/* Joins continued lines in place: `to` is never behind `from` */
	while (*from && result == 0) {
		size_t length = strcspn(from, "\n");
		char *next = from + length + (from[length] == '\n');
		const char *first = from + strspn(from, " \t\r");

		if (*first == '#' || *first == ';') {
			from = next;
			continue;
		}
		if (length > 0 && from[length - 1] == '\r')
			length--;
		if (is_continued(from, length)) {
			memmove(to, from, length);
			to[length - 1] = ' ';
			to += length;
			from = next;
			continue;
		}
		memmove(to, from, length);
		to[length] = '\0';
		result = take_line(file, whole, &in_service);
		from = to = whole = next;
	}
	/* The last line has been continued by nothing */
	if (result == 0 && to > whole) {
		*to = '\0';
		result = take_line(file, whole, &in_service);
	}
	return result;
}

int unit_file_read(struct unit_file *file, const char *path)
{
	CLEANUP(file_close) struct file from = {.fd = -1};
	CLEANUP(string_free) char *text = NULL;
	int result = file_open(&from, path);

	if (result < 0)
		return result;
	if (from.fd < 0)
		return -EACCES;
	if (from.size > FILE_SIZE_MAX)
		return -EFBIG;
	text = malloc((size_t)from.size + 1);
	if (!text)
		return -ENOMEM;
	if (!file_read(&from, 0, text, (size_t)from.size))
		return -EIO;
	text[from.size] = '\0';
	return unit_file_parse(file, text);
}

const char *unit_file_value(const struct unit_file *file, const char *key)
{
	for (size_t i = file->count; i-- > 0;)
		if (!strcmp(file->list[i].key, key))
			return file->list[i].value;
	return NULL;
}

bool unit_file_is_true(const struct unit_file *file, const char *key)
{
	static const char *const words[] = {"1", "yes", "y", "true", "t", "on"};
	const char *value = unit_file_value(file, key);

	for (size_t i = 0; value && i < COUNT(words); i++)
		if (!strcasecmp(value, words[i]))
			return true;
	return false;
}

size_t unit_file_list(
        const struct unit_file *file, const char *key, const char **values, size_t size)
{
	size_t count = 0;

	for (size_t i = 0; i < file->count; i++) {
		if (strcmp(file->list[i].key, key) != 0)
			continue;
		if (!*file->list[i].value)
			count = 0;
		else if (count < size)
			values[count++] = file->list[i].value;
	}
	return count;
}

static bool names(const char *list, const char *name)
{
	size_t length = strlen(name);

	while (*(list += strspn(list, BLANKS))) {
		size_t word = strcspn(list, BLANKS);

		if (word == length && !strncasecmp(list, name, length))
			return true;
		list += word;
	}
	return false;
}

bool unit_file_allows(const struct unit_file *file, const char *key, const char *name,
        bool empty_denies, bool *ret_is_set)
{
	bool is_set = false, allows = true;

	for (size_t i = 0; i < file->count; i++) {
		const char *value = file->list[i].value;
		bool inverted = *value == '~';

		if (strcmp(file->list[i].key, key) != 0)
			continue;
		if (!*value || !strcmp(value, "~")) {
			is_set = *value || empty_denies;
			allows = inverted || !empty_denies;
			continue;
		}
		if (!is_set)
			allows = inverted;
		is_set = true;
		if (names(value + inverted, name))
			allows = !inverted;
	}
	*ret_is_set = is_set;
	return allows;
}
