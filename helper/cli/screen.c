/* SPDX-License-Identifier: MIT */
/* The answers of a launcher on the operator's terminal. */
#include "helper/cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "helper/base/printable.h"

#define CLEAR_SCREEN "\033[H\033[2J"
#define ERASE_LINE   "\r\033[K"

void screen_erase(struct screen *screen)
{
	if (screen->progress)
		(void)fputs(ERASE_LINE, stderr);
	screen->progress = false;
}

/* A full buffer is emptied first: the last lines tell why a command has failed. */
static void hold_line(struct screen *screen, const struct answer *answer)
{
	size_t length = answer->length + 1;

	if (length > sizeof(screen->held))
		return;
	if (length > sizeof(screen->held) - screen->held_length)
		screen->held_length = 0;
	memcpy(screen->held + screen->held_length, answer->text, answer->length);
	screen->held_length += length;
	screen->held[screen->held_length - 1] = '\n';
}

static void show_progress(struct screen *screen, struct answer *answer)
{
	struct winsize size = {0};
	size_t columns = 80;

	if (!screen->terminal)
		return;
	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
		columns = size.ws_col;
	/* ERASE_LINE does not erase a line that wraps */
	if (answer->length >= columns)
		answer->text[columns - 1] = '\0';
	answer_make_printable(answer);
	(void)fprintf(stderr, ERASE_LINE "%.*s", (int)answer->length, answer->text);
	(void)fflush(stderr);
	screen->progress = true;
}

/* Lines end as they do; every other character that a terminal would obey becomes "?". */
static void show_foreign(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		printable_write(stdout, line);
		if (text)
			(void)fputc('\n', stdout);
	}
}

void screen_show(struct screen *screen, struct answer *answer)
{
	switch (answer->kind) {
	case CONTROL_LINE:
		screen_erase(screen);
		answer_make_printable(answer);
		if (screen->quiet)
			hold_line(screen, answer);
		else
			(void)fprintf(stderr, "%s\n", answer->text);
		break;
	case CONTROL_TEXT:
		screen_erase(screen);
		if (screen->clear_first)
			(void)fputs(CLEAR_SCREEN, stdout);
		screen->clear_first = false;
		if (screen->foreign)
			show_foreign(answer->text);
		else
			(void)fwrite(answer->text, 1, answer->length, stdout);
		(void)fflush(stdout);
		break;
	case CONTROL_PROGRESS: show_progress(screen, answer); break;
	default: break; /* an answer of a later version */
	}
}

void screen_flush_held(struct screen *screen)
{
	(void)fwrite(screen->held, 1, screen->held_length, stderr);
}
