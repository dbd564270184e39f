/* SPDX-License-Identifier: MIT */
/* Which characters are harmless to print. */
#include "helper/base/printable.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The character at `text`; returns its length in bytes, 0 if it is not UTF-8 (RFC 3629). */
static size_t decode(const unsigned char *text, uint32_t *ret_character)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t length = text[0] < 0x80             ? 1
	                : (text[0] & 0xe0) == 0xc0 ? 2
	                : (text[0] & 0xf0) == 0xe0 ? 3
	                : (text[0] & 0xf8) == 0xf0 ? 4
	                                           : 0;
	if (length == 0)
		return 0;
	uint32_t character = length == 1 ? text[0] : text[0] & (0xffU >> (length + 1));
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80) /* catches the end of the text, too */
			return 0;
		character = character << 6 | (text[i] & 0x3fU);
	}
	if (character < least[length] || character > 0x10ffff ||
	        (character >= 0xd800 && character <= 0xdfff))
		return 0;
	*ret_character = character;
	return length;
}

static bool is_printable(uint32_t character)
{
	return character >= ' ' && !(character >= 0x7f && character <= 0x9f) && /* DEL, C1 */
	       character != 0xad && character != 0x61c && character != 0x180e &&
	       !(character >= 0x200b && character <= 0x200f) && /* no width, directions */
	       !(character >= 0x2028 && character <= 0x202e) && /* lines, directions */
	       !(character >= 0x2060 && character <= 0x206f) && character != 0xfeff &&
	       !(character >= 0xfff0 && character <= 0xfffb) &&
	       !(character >= 0xe0000 && character <= 0xe0fff); /* tags */
}

/* The length in bytes of the next character; *ret_good: the character may be printed. */
static size_t next(const char *text, bool *ret_good)
{
	uint32_t character = 0;
	size_t length = decode((const unsigned char *)text, &character);
	*ret_good = length > 0 && is_printable(character);
	return length > 0 ? length : 1;
}

void printable_make(char *text)
{
	char *out = text;
	while (*text) {
		bool good;
		size_t length = next(text, &good);
		if (good) {
			memmove(out, text, length);
			out += length;
		} else {
			*out++ = '?';
		}
		text += length;
	}
	*out = '\0';
}

void printable_write(FILE *out, const char *text)
{
	while (*text) {
		bool good;
		size_t length = next(text, &good);
		if (good)
			(void)fwrite(text, 1, length, out);
		else
			(void)fputc('?', out);
		text += length;
	}
}
