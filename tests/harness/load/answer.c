/* SPDX-License-Identifier: MIT */
/* Checks answers: is the answer complete and right, and which generation sent it? */
#include <stdlib.h>
#include <string.h>

#include "tests/harness/load/answer.h"

/* The length of an HTTP answer, 0 if it is not complete, -1 if it is no HTTP. */
static ssize_t http_length(const struct connection *c, bool ended)
{
	static const char length_field[] = "\r\ncontent-length:";
	const char *end = memmem(c->answer, c->received, "\r\n\r\n", 4);
	if (!end)
		return 0;
	if (c->received < 12 || strncmp(c->answer, "HTTP/1.", 7) != 0)
		return -1;
	size_t head = (size_t)(end - c->answer) + 4;
	for (const char *at = c->answer; at < end; at++)
		if (strncasecmp(at, length_field, strlen(length_field)) == 0) {
			size_t all = head + strtoul(at + strlen(length_field), NULL, 10);
			return c->received >= all ? (ssize_t)all : 0;
		}
	return ended ? (ssize_t)c->received : 0;
}

static const char *find(const char *from, const char *end, const struct text *text)
{
	return memmem(from, (size_t)(end - from), text->bytes, text->length);
}

ssize_t answer_length(const struct connection *c, bool ended)
{
	if (options.mode == MODE_HTTP)
		return http_length(c, ended);
	const char *found = find(c->answer, c->answer + c->received, &options.until);
	return found ? found - c->answer + (ssize_t)options.until.length : 0;
}

/* Finds the tag in a complete answer. False: there is none. */
static bool answer_tag(const struct connection *c, char name[TAG_LENGTH])
{
	const char *end = c->answer + c->received;
	const char *after = find(c->answer, end, &options.tag_after);
	if (!after)
		return false;
	after += options.tag_after.length;
	const char *before = find(after, end, &options.tag_before);
	if (!before || before == after || before - after >= TAG_LENGTH)
		return false;
	memcpy(name, after, (size_t)(before - after));
	name[before - after] = '\0';
	return true;
}

bool answer_check(struct connection *c)
{
	char name[TAG_LENGTH];
	if (options.mode == MODE_BANNER && c->answers > 0)
		return true; /* only the banner is tagged */
	const struct text *prefix = &options.expect_prefix;
	if (prefix->bytes && (c->received < prefix->length ||
	                             memcmp(c->answer, prefix->bytes, prefix->length) != 0))
		return false;
	if (!answer_tag(c, name))
		return false;
	struct account *account = account_of(c);
	if (c->tag >= 0)
		return strcmp(account->tags[c->tag].name, name) == 0;
	c->tag = account_tag(account, name);
	account->tags[c->tag].connections++;
	account->tags[c->tag].open++;
	return true;
}
