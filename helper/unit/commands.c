/* SPDX-License-Identifier: MIT */
/* The command lines of a unit under moult. */
#include "helper/unit/commands.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/units.h"
#include "helper/unit/quirks.h"

enum { COMMANDS_MAX = 32 };

int commands_read_start(
        struct execline *start, const struct unit *unit, const struct reason *reason)
{
	const char *values[2];
	size_t count = unit_file_list(&unit->file, "ExecStart", values, COUNT(values));
	int result;

	if (count != 1)
		return refuse(reason, "%s",
		        count ? "it has several ExecStart= commands" : "it has no ExecStart=");
	result = execline_read(start, values[0]);
	if (result < 0)
		return refuse(reason, "ExecStart=%s: %s", values[0], strerror(-result));
	return 0;
}

/* ---- start ---- */

/* As a word of a command line; specifiers (%i) stay. */
static void write_word(FILE *out, const char *word)
{
	bool is_plain = *word != '\0';

	for (const char *c = word; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("/._+:=@%,-", *c))
			is_plain = false;
	if (is_plain) {
		(void)fputs(word, out);
		return;
	}
	(void)fputc('"', out);
	for (const char *c = word; *c; c++) {
		if (*c == '"' || *c == '\\')
			(void)fputc('\\', out);
		if (*c == '$')
			(void)fputc('$', out);
		(void)fputc(*c, out);
	}
	(void)fputc('"', out);
}

static void write_aside(FILE *out, const char *path)
{
	char word[PATH_MAX + 32];

	/* PIDFile= may be relative to /run */
	(void)snprintf(word, sizeof(word), "--aside=%s%s", *path == '/' ? "" : "/run/", path);
	(void)fputc(' ', out);
	write_word(out, word);
}

/* "--no-overlap" among the options of the row or of the operator. */
static bool has_option(const struct quirk *quirk, char *const *options, const char *name)
{
	size_t length = strlen(name);

	if (quirk && quirk->options && strstr(quirk->options, name))
		return true;
	for (size_t i = 0; options && options[i]; i++)
		if (!strncmp(options[i], name, length))
			return true;
	return false;
}

static bool is_notifying(const struct unit *unit)
{
	const char *type = unit_file_value(&unit->file, "Type");

	return type && !strncmp(type, "notify", 6);
}

static bool write_asides(FILE *out, const struct unit *unit, const struct quirk *quirk)
{
	const char *file = unit_file_value(&unit->file, "PIDFile");

	if (file && *file)
		write_aside(out, file);
	if (quirk && quirk->aside && !(file && !strcmp(file, quirk->aside)))
		write_aside(out, quirk->aside);
	return (file && *file) || (quirk && quirk->aside);
}

/* The words between "moult run" and the command.  Returns whether a pid file is no obstacle. */
static bool write_options(
        FILE *out, const struct unit *unit, const struct quirk *quirk, char *const *options)
{
	const char *name = unit_file_value(&unit->file, "KillSignal");
	bool is_alone = has_option(quirk, options, "--no-overlap");
	bool has_aside = false;
	int number;

	(void)fprintf(out, " --name=%s", unit->name);
	if (is_notifying(unit) && !has_option(quirk, options, "--ready="))
		(void)fputs(" --ready=notify", out);
	if (quirk && quirk->options)
		(void)fprintf(out, " %s", quirk->options);
	if (name && *name && signal_parse(name, &number) == 0 && number != SIGTERM &&
	        !has_option(quirk, options, "--stop-signal="))
		(void)fprintf(out, " --stop-signal=%s", name);
	/* The daemon's own stop does not wait at all; a stop of five minutes surprises */
	if (!has_option(quirk, options, "--stop-timeout="))
		(void)fputs(" --stop-timeout=5s", out);
	if (!is_alone)
		has_aside = write_asides(out, unit, quirk);
	for (size_t i = 0; options && options[i]; i++) {
		(void)fputc(' ', out);
		write_word(out, options[i]);
	}
	return is_alone || has_aside || has_option(NULL, options, "--aside=");
}

/* The unit's command, without the word that "@" makes the program's name. */
static char *command_text(const struct execline *start, struct changes *changes)
{
	const char *text = start->text;
	size_t first = strcspn(text, " \t"), rest;
	char *shorter;

	if (!execline_has_prefix(start, '@') || start->count < 2)
		return strdup(text);
	changes_note(changes, "ExecStart=@: the program is started with its own name, not as %s",
	        start->words[1]);
	rest = start->second_at + strcspn(text + start->second_at, " \t");
	if (asprintf(&shorter, "%.*s%s", (int)first, text, text + rest) < 0)
		return NULL;
	return shorter;
}

static void write_prefix(FILE *out, const struct execline *line, const char *without)
{
	for (const char *c = line->prefix; *c; c++)
		if (!strchr(without, *c))
			(void)fputc(*c, out);
}

bool commands_plan_start(struct changes *changes, const struct unit *unit,
        const struct execline *start, const struct place *place, char *const *options)
{
	const struct quirk *quirk = quirk_find(start);
	const char *type = unit_file_value(&unit->file, "Type");
	bool forks = type && !strcmp(type, "forking"), edited, has_aside;
	CLEANUP(string_free) char *text = command_text(start, changes);
	CLEANUP(string_free) char *line = NULL;
	size_t size;
	char why[512];
	FILE *out = text ? open_memstream(&line, &size) : NULL;

	if (!out) {
		changes->failed = true;
		return false;
	}
	edited = quirk && quirk_edit(quirk, forks, &text);
	write_prefix(out, start, "@");
	(void)fprintf(out, "%s run", place->moult);
	has_aside = write_options(out, unit, quirk, options);
	(void)fprintf(out, " -- %s", text);
	if (fclose(out) != 0) {
		changes->failed = true;
		return false;
	}
	(void)snprintf(why, sizeof(why), "moult starts the daemon, and stays the main process%s%s",
	        quirk ? "; " : "", quirk ? quirk->why : "");
	changes_add(changes, why, "ExecStart=");
	changes_add(changes, NULL, "ExecStart=%s", line);
	if (forks && !edited)
		changes_note(changes, "the daemon goes to the background, so its death may be "
		                      "noticed late; if it can stay in the foreground, let it");
	if (has_option(quirk, options, "--no-overlap"))
		changes_note(changes,
		        "the old version ends before the next one starts: from now on "
		        "`systemctl reload` ends its sessions, and clients wait meanwhile");
	return has_aside;
}

/* ---- reload and stop ---- */

static bool acts_word(const char *word)
{
	static const char *const words[] = {"stop", "graceful-stop", "fast-stop", "immediate-stop",
	        "quit", "shutdown", "terminate", "abort", "reload", "graceful", "restart",
	        "force-reload", "reopen"};

	if (strstr(word, "MAINPID"))
		return true;
	for (size_t i = 0; i < COUNT(words); i++)
		if (!strcmp(word, words[i]))
			return true;
	return false;
}

/* Does the command tell the daemon to stop or to reload?  Others check, or prepare something. */
static bool acts_on_daemon(const struct execline *line)
{
	static const char *const programs[] = {
	        "kill", "pkill", "killall", "skill", "start-stop-daemon", "systemctl", "moult"};

	for (size_t i = 0; i < COUNT(programs); i++)
		if (!strcmp(path_base(line->words[0]), programs[i]))
			return true;
	for (size_t i = 1; i < line->count; i++)
		if (acts_word(line->words[i]))
			return true;
	return false;
}

/*
 * Adds those commands that do not act on the daemon.  Returns the number of those that do.  A value
 * may hold several commands, with " ; " between them.
 */
static size_t keep_harmless(
        struct changes *changes, const struct unit *unit, const char *key, bool is_dry)
{
	const char *values[COMMANDS_MAX];
	size_t acting = 0, count = unit_file_list(&unit->file, key, values, COUNT(values));

	for (size_t i = 0; i < count; i++) {
		CLEANUP(string_free) char *copy = strdup(values[i]);
		char *next = copy;

		while (next) {
			CLEANUP(execline_deinit) struct execline line = {0};
			char *value = next, *end = strstr(next, " ; ");

			next = end ? end + 3 : NULL;
			if (end)
				*end = '\0';
			if (execline_read(&line, value) < 0 || acts_on_daemon(&line))
				acting++;
			else if (!is_dry)
				changes_add(changes, NULL, "%s=%s", key, value);
		}
	}
	return acting;
}

void commands_plan_reload(struct changes *changes, const struct unit *unit,
        const struct execline *start, const struct place *place)
{
	const char *values[1];
	const char *why = "a reload is an upgrade, and fails if the upgrade fails";
	bool has_any = unit_file_list(&unit->file, "ExecReload", values, COUNT(values)) > 0;
	CLEANUP(string_free) char *prefix = NULL;
	size_t size;
	FILE *out = open_memstream(&prefix, &size);

	if (!out) {
		changes->failed = true;
		return;
	}
	/* With the rights of the launcher, whose socket is its user's */
	write_prefix(out, start, "-@:|");
	if (fclose(out) != 0) {
		changes->failed = true;
		return;
	}
	if (has_any) {
		changes_add(changes, why, "ExecReload=");
		(void)keep_harmless(changes, unit, "ExecReload", false);
	}
	changes_add(changes, has_any ? NULL : why, "ExecReload=%s%s upgrade --quiet %s", prefix,
	        place->moult, unit->name);
}

void commands_plan_stop(struct changes *changes, const struct unit *unit)
{
	const char *values[COMMANDS_MAX];
	size_t count = unit_file_list(&unit->file, "ExecStop", values, COUNT(values));

	if (keep_harmless(changes, unit, "ExecStop", true) > 0) {
		changes_add(changes,
		        "systemd stops moult by SIGTERM; a command that stops the daemon would cut "
		        "its connections",
		        "ExecStop=");
		(void)keep_harmless(changes, unit, "ExecStop", false);
	} else if (count > 0) {
		changes_note(
		        changes, "ExecStop=%s stays: it seems not to stop the daemon", values[0]);
	}
}
