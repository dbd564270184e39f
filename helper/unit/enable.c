/* SPDX-License-Identifier: MIT */
/*
 * moult enable.
 *
 * Everything is looked at before anything is written.  What has been written is undone if systemd
 * does not take it, and if the service does not start with it.
 */
#include "helper/unit/enable.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/fail.h"
#include "helper/base/verb.h"
#include "helper/unit/dropin.h"
#include "helper/unit/manage.h"
#include "helper/unit/plan.h"

struct entry {
	struct unit unit;
	struct changes changes;
	char *text; /* of the drop-in, allocated */
	bool is_written;
};

static void entries_free(struct entry *entries, size_t count)
{
	for (size_t i = 0; entries && i < count; i++) {
		unit_deinit(&entries[i].unit);
		changes_deinit(&entries[i].changes);
		free(entries[i].text);
	}
	free(entries);
}

/* ---- before anything is written ---- */

static bool prepare(
        struct entry *entry, const char *asked, const struct place *place, char *const *options)
{
	char text[1400];
	const struct reason reason = {text, sizeof(text)};

	if (unit_load(&entry->unit, asked, &reason) < 0 ||
	        plan_make(&entry->changes, &entry->unit, place, options, &reason) < 0) {
		(void)fail(EXIT_FAILED, "%s: cannot be put under moult: %s",
		        *entry->unit.id ? entry->unit.id : asked, text);
		return false;
	}
	entry->text = changes_text(&entry->changes, entry->unit.id);
	return entry->text || fail(EXIT_FAILED, "out of memory") == EXIT_DONE;
}

static bool is_same(const struct entry *entry)
{
	return entry->unit.dropin && !strcmp(entry->unit.dropin, entry->text);
}

static void show(const struct entry *entry, bool dry_run)
{
	char path[PATH_MAX];

	dropin_path(entry->unit.id, path, sizeof(path));
	if (is_same(entry)) {
		(void)printf("%s: %s is up to date\n", entry->unit.id, path);
		return;
	}
	(void)printf("%s: %s %s\n", entry->unit.id, dry_run ? "would write" : "writes", path);
	changes_print(&entry->changes, stdout);
}

/* ---- writing, and going back ---- */

static void take_back(struct entry *entry)
{
	int result = 0;

	if (!entry->is_written)
		return;
	result = entry->unit.dropin ? dropin_write(entry->unit.id, entry->unit.dropin)
	                            : dropin_remove(entry->unit.id);
	entry->is_written = false;
	if (result < 0)
		(void)fail(EXIT_FAILED, "%s: the drop-in cannot be taken back: %s", entry->unit.id,
		        dropin_explain(result));
}

static int take_all_back(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		take_back(&entries[i]);
	(void)manage_reload();
	return EXIT_FAILED;
}

static bool write_all(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char path[PATH_MAX];
		int result;

		if (is_same(&entries[i]))
			continue;
		result = dropin_write(entries[i].unit.id, entries[i].text);
		entries[i].is_written = result == 0;
		if (result == 0)
			continue;
		dropin_path(entries[i].unit.id, path, sizeof(path));
		return fail(EXIT_FAILED, "%s: cannot be written: %s; nothing has been changed",
		               path, dropin_explain(result)) == EXIT_DONE;
	}
	return true;
}

/* What systemd has read: a drop-in with a later name may set something else. */
static bool is_in_force(const struct unit *unit, const struct place *place)
{
	char command[64 * 1024], expected[PATH_MAX + 16], type[32];

	(void)snprintf(expected, sizeof(expected), "path=%s ;", place->moult);
	if (unit_property(unit->id, "Type", type, sizeof(type)) && !strcmp(type, "notify") &&
	        unit_property(unit->id, "ExecStart", command, sizeof(command)) &&
	        strstr(command, expected))
		return true;
	return fail(EXIT_FAILED,
	               "%s: systemd does not start it by moult (see systemctl cat: another drop-in "
	               "may say otherwise); nothing has been changed",
	               unit->id) == EXIT_DONE;
}

static bool put_in_force(struct entry *entries, size_t count, const struct place *place)
{
	if (!write_all(entries, count))
		return false;
	if (manage_reload() != 0)
		return fail(EXIT_FAILED, "systemd has not read the units again; nothing has been "
		                         "changed") == EXIT_DONE;
	for (size_t i = 0; i < count; i++)
		if (!is_in_force(&entries[i].unit, place))
			return false;
	return true;
}

/* ---- the restart ---- */

static bool restart(struct entry *entry)
{
	const struct unit *unit = &entry->unit;

	(void)printf("%s: one plain restart, the last: open connections are cut, and new ones are "
	             "refused until it serves\n",
	        unit->id);
	if (manage_restart(unit->id)) {
		(void)printf("%s: runs under moult as %s; systemctl reload %s upgrades it\n",
		        unit->id, unit->name, unit->id);
		return true;
	}
	if (!entry->is_written)
		return fail(EXIT_FAILED, "%s: does not start (see journalctl -u %s)", unit->id,
		               unit->id) == EXIT_DONE;
	take_back(entry);
	(void)manage_reload();
	(void)fail(EXIT_FAILED,
	        "%s: does not start under moult (see journalctl -u %s); its drop-in is taken back, "
	        "and it is started as before%s",
	        unit->id, unit->id, manage_restart(unit->id) ? "" : ", which fails, too");
	return false;
}

static void say_next(const struct unit *unit)
{
	if (!unit->is_active)
		(void)printf("%s: does not run; its next start is under moult\n", unit->id);
	else if (manage_is_moult(unit->id))
		(void)printf("%s: runs under moult; what has changed counts from the next restart "
		             "on\n",
		        unit->id);
	else
		(void)printf(
		        "%s: still runs without moult; the next `systemctl restart %s` puts it "
		        "under moult, and is the last that cuts connections\n",
		        unit->id, unit->id);
}

static int finish(const struct enable *enable, struct entry *entries, size_t count)
{
	bool done = true;

	for (size_t i = 0; i < count; i++) {
		(void)fflush(stdout);
		if (enable->now && entries[i].unit.is_active &&
		        (entries[i].is_written || !manage_is_moult(entries[i].unit.id)))
			done = restart(&entries[i]) && done;
		else
			say_next(&entries[i].unit);
	}
	return done ? EXIT_DONE : EXIT_FAILED;
}

int enable_run(const struct enable *enable)
{
	size_t count = 0;
	struct entry *entries;
	struct place place;
	char text[PATH_MAX + 100];
	const struct reason reason = {text, sizeof(text)};
	bool fine = true;
	int status = EXIT_FAILED;

	while (enable->units[count])
		count++;
	if (!enable->dry_run && geteuid() != 0)
		return fail(
		        EXIT_FAILED, "only root may change units (--dry-run shows the changes)");
	if (place_find(&place, &reason) < 0)
		return fail(EXIT_FAILED, "%s", text);
	entries = calloc(count, sizeof(*entries));
	if (!entries)
		return fail(EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++)
		fine = prepare(&entries[i], enable->units[i], &place, enable->options) && fine;
	for (size_t i = 0; i < count && (fine || enable->dry_run); i++)
		if (entries[i].text)
			show(&entries[i], enable->dry_run);
	(void)fflush(stdout);
	if (fine && enable->dry_run)
		status = EXIT_DONE;
	else if (fine && put_in_force(entries, count, &place))
		status = finish(enable, entries, count);
	else if (fine)
		status = take_all_back(entries, count);
	else if (count > 1 && !enable->dry_run)
		(void)fail(EXIT_FAILED, "nothing has been changed");
	entries_free(entries, count);
	return status;
}
