/* SPDX-License-Identifier: MIT */
/* moult disable. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helper/base/fail.h"
#include "helper/base/verb.h"
#include "helper/unit/dropin.h"
#include "helper/unit/enable.h"
#include "helper/unit/manage.h"
#include "helper/unit/unit.h"

static bool load(struct unit *unit, const char *asked)
{
	char text[PATH_MAX + 200];
	const struct reason reason = {text, sizeof(text)};

	if (unit_load_state(unit, asked, &reason) == 0)
		return true;
	return fail(EXIT_FAILED, "%s: %s", *unit->id ? unit->id : asked, text) == EXIT_DONE;
}

static bool put_back(const struct unit *units, size_t count)
{
	bool fine = true;

	for (size_t i = 0; i < count; i++)
		if (units[i].dropin)
			fine = dropin_write(units[i].id, units[i].dropin) == 0 && fine;
	return fine;
}

static bool remove_all(const struct unit *units, size_t count, bool dry_run)
{
	for (size_t i = 0; i < count; i++) {
		char path[PATH_MAX];
		int result;

		dropin_path(units[i].id, path, sizeof(path));
		if (!units[i].dropin) {
			(void)printf("%s: is not enabled (no %s)\n", units[i].id, path);
			continue;
		}
		(void)printf(
		        "%s: %s %s\n", units[i].id, dry_run ? "would remove" : "removes", path);
		result = dry_run ? 0 : dropin_remove(units[i].id);
		if (result == 0)
			continue;
		return fail(EXIT_FAILED, "%s: cannot be removed: %s", path,
		               dropin_explain(result)) == EXIT_DONE;
	}
	return true;
}

/* True: what was asked for is done. */
static bool finish(const struct unit *unit, bool now)
{
	if (!unit->is_active || !manage_is_moult(unit->id))
		return true;
	if (!now) {
		(void)printf("%s: still runs under moult, until you restart it: do so soon, for "
		             "systemd handles it as if it ran without moult\n",
		        unit->id);
		return true;
	}
	(void)printf("%s: one plain restart: open connections are cut, and new ones are refused "
	             "until it serves\n",
	        unit->id);
	(void)fflush(stdout);
	if (manage_restart(unit->id))
		return true;
	return fail(EXIT_FAILED, "%s: does not start without moult (see journalctl -u %s)",
	               unit->id, unit->id) == EXIT_DONE;
}

static int disable_all(const struct enable *enable, const struct unit *units, size_t count)
{
	bool fine = remove_all(units, count, enable->dry_run);

	if (enable->dry_run)
		return EXIT_DONE;
	(void)fflush(stdout);
	if (fine && manage_reload() != 0)
		fine = fail(EXIT_FAILED, "systemd has not read the units again") == EXIT_DONE;
	if (!fine) {
		(void)fail(EXIT_FAILED,
		        put_back(units, count)
		                ? "nothing has been changed"
		                : "a drop-in cannot be put back; moult enable writes it");
		(void)manage_reload();
		return EXIT_FAILED;
	}
	for (size_t i = 0; i < count; i++)
		fine = finish(&units[i], enable->now) && fine;
	return fine ? EXIT_DONE : EXIT_FAILED;
}

int disable_run(const struct enable *enable)
{
	size_t count = 0;
	struct unit *units;
	bool fine = true;
	int status = EXIT_FAILED;

	while (enable->units[count])
		count++;
	if (!enable->dry_run && geteuid() != 0)
		return fail(EXIT_FAILED, "only root may change units");
	units = calloc(count, sizeof(*units));
	if (!units)
		return fail(EXIT_FAILED, "out of memory");
	for (size_t i = 0; i < count; i++)
		fine = load(&units[i], enable->units[i]) && fine;
	if (fine)
		status = disable_all(enable, units, count);
	for (size_t i = 0; i < count; i++)
		unit_deinit(&units[i]);
	free(units);
	return status;
}
