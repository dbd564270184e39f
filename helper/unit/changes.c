/* SPDX-License-Identifier: MIT */
/* The changes to a unit. */
#include "helper/unit/changes.h"

#include <stdarg.h>
#include <string.h>

#include "helper/base/printable.h"
#include "helper/unit/dropin.h"

void changes_deinit(struct changes *changes)
{
	for (size_t i = 0; i < changes->count; i++) {
		free(changes->list[i].line);
		free(changes->list[i].why);
	}
	*changes = (struct changes){0};
}

static struct change *next(struct changes *changes)
{
	if (changes->count == CHANGES_MAX) {
		changes->failed = true;
		return NULL;
	}
	changes->list[changes->count] = (struct change){0};
	return &changes->list[changes->count++];
}

void changes_add(struct changes *changes, const char *why, const char *format, ...)
{
	struct change *change = next(changes);
	va_list arguments;

	if (!change)
		return;
	va_start(arguments, format);
	if (vasprintf(&change->line, format, arguments) < 0)
		change->line = NULL;
	va_end(arguments);
	change->why = why ? strdup(why) : NULL;
	if (!change->line || (why && !change->why))
		changes->failed = true;
}

void changes_note(struct changes *changes, const char *format, ...)
{
	struct change *change = next(changes);
	va_list arguments;

	if (!change)
		return;
	va_start(arguments, format);
	if (vasprintf(&change->why, format, arguments) < 0) {
		change->why = NULL;
		changes->failed = true;
	}
	va_end(arguments);
}

/* A text of ours in lines of a comment. */
static void write_comment(FILE *out, const char *text)
{
	size_t column = 0;

	while (*(text += strspn(text, " "))) {
		size_t length = strcspn(text, " ");

		if (column > 0 && column + 1 + length > 98) {
			(void)fputc('\n', out);
			column = 0;
		}
		column +=
		        (size_t)fprintf(out, "%s%.*s", column > 0 ? " " : "# ", (int)length, text);
		text += length;
	}
	(void)fputc('\n', out);
}

char *changes_text(const struct changes *changes, const char *unit)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	(void)fprintf(out,
	        DROPIN_MARK
	        " %s`, which writes it anew.\n"
	        "# %s runs under moult: `systemctl reload` upgrades it to the program and\n"
	        "# the configuration that are installed then.  See moult(8).\n"
	        "# To go back: `moult disable --now %s`; or remove this file, then\n"
	        "# `systemctl daemon-reload` and `systemctl restart %s`.\n"
	        "[Service]\n",
	        unit, unit, unit, unit);
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->list[i];

		if (change->line && change->why)
			write_comment(out, change->why);
		if (change->line)
			(void)fprintf(out, "%s\n", change->line);
	}
	if (fclose(out) != 0 || changes->failed) {
		free(text);
		return NULL;
	}
	return text;
}

void changes_print(const struct changes *changes, FILE *out)
{
	for (size_t i = 0; i < changes->count; i++) {
		const struct change *change = &changes->list[i];
		const struct change *last = change;

		if (!change->line) {
			(void)fputs("  note: ", out);
			printable_write(out, change->why);
			(void)fputc('\n', out);
			continue;
		}
		/* Lines with one reason, then the reason */
		(void)fputs("  ", out);
		printable_write(out, change->line);
		(void)fputc('\n', out);
		while (!last->why && last > changes->list)
			last--;
		if (i + 1 == changes->count || changes->list[i + 1].why || !change[1].line) {
			(void)fputs("      ", out);
			printable_write(out, last->why);
			(void)fputc('\n', out);
		}
	}
}
