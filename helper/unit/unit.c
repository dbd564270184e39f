/* SPDX-License-Identifier: MIT */
/* A service unit as it is. */
#include "helper/unit/unit.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/util.h"
#include "helper/unit/dropin.h"
#include "helper/unit/execline.h"
#include "helper/unit/systemctl.h"

/* The path of the socket, /run/moult-NAME/moult/NAME.sock, has to fit into 107 bytes. */
enum { INSTANCE_NAME_MAX = 40 };

static const char SUFFIX[] = ".service";

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), part = strlen(end);

	return length >= part && !strcmp(text + length - part, end);
}

/* "nginx" and "nginx.service" to "nginx.service", as systemctl does. */
static int full_name(const char *asked, char *id, size_t id_size, const struct reason *reason)
{
	static const char *const others[] = {".socket", ".target", ".timer", ".path", ".mount",
	        ".automount", ".swap", ".slice", ".scope", ".device"};
	bool full = ends_with(asked, SUFFIX);

	for (const char *c = asked; *c; c++)
		if (!isascii((unsigned char)*c) ||
		        (!isalnum((unsigned char)*c) && !strchr(":-_.\\@", *c)))
			return refuse(reason, "this is no name of a unit");
	if (!*asked || *asked == '-' || *asked == '.' ||
	        strlen(asked) + sizeof(SUFFIX) > id_size - sizeof(".d"))
		return refuse(reason, "this is no name of a unit");
	for (size_t i = 0; i < COUNT(others); i++)
		if (ends_with(asked, others[i]))
			return refuse(reason, "moult runs services only");
	(void)snprintf(id, id_size, "%s%s", asked, full ? "" : SUFFIX);
	if (ends_with(id, "@.service"))
		return refuse(reason, "this is a template; name an instance of it, as %.*sNAME%s",
		        (int)(strlen(id) - strlen(SUFFIX)), id, SUFFIX);
	return 0;
}

static void name_instance(struct unit *unit)
{
	(void)snprintf(unit->name, sizeof(unit->name), "%.*s", INSTANCE_NAME_MAX, unit->id);
	if (strlen(unit->id) - strlen(SUFFIX) < INSTANCE_NAME_MAX)
		unit->name[strlen(unit->id) - strlen(SUFFIX)] = '\0';
	for (char *c = unit->name; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr("._@-", *c))
			*c = '-';
	if (unit->name[0] == '.' || unit->name[0] == '-')
		unit->name[0] = '_';
}

bool unit_property(const char *id, const char *key, char *value, size_t size)
{
	const char *words[] = {"show", "-p", key, "--", id, NULL};
	CLEANUP(string_free) char *text = NULL;

	return systemctl_read(words, &text) == 0 && systemctl_property(text, key, value, size);
}

static int show(const char *id, char **ret_text, const struct reason *reason)
{
	const char *words[] = {"show", "-p", "Id", "-p", "LoadState", "-p", "ActiveState", "-p",
	        "FragmentPath", "-p", "DropInPaths", "-p", "SourcePath", "-p", "User", "-p",
	        "TriggeredBy", "--", id, NULL};
	int result = systemctl_read(words, ret_text);

	if (result == -ENOENT)
		return refuse(reason, "systemctl is not here: no systemd, no units");
	if (result != 0)
		return refuse(reason, "systemctl show does not know it (%s)",
		        result > 0 ? "it has failed" : strerror(-result));
	return 0;
}

static int read_dropin(struct unit *unit, const struct reason *reason)
{
	char path[PATH_MAX];
	int result = dropin_read(unit->id, &unit->dropin);

	unit->is_enabled = unit->dropin != NULL;
	if (result == 0)
		return 0;
	dropin_path(unit->id, path, sizeof(path));
	return refuse(reason, "%s: %s", path, dropin_explain(result));
}

static void take_state(struct unit *unit, const char *text)
{
	char state[32], id[UNIT_NAME_MAX];

	if (systemctl_property(text, "Id", id, sizeof(id)) && ends_with(id, SUFFIX))
		memcpy(unit->id, id, sizeof(id));
	unit->is_active = systemctl_property(text, "ActiveState", state, sizeof(state)) &&
	                  (!strcmp(state, "active") || !strcmp(state, "reloading") ||
	                          !strcmp(state, "activating"));
}

int unit_load_state(struct unit *unit, const char *asked, const struct reason *reason)
{
	CLEANUP(string_free) char *text = NULL;

	*unit = (struct unit){0};
	if (full_name(asked, unit->id, sizeof(unit->id), reason) < 0 ||
	        show(unit->id, &text, reason) < 0)
		return -1;
	take_state(unit, text);
	name_instance(unit);
	return read_dropin(unit, reason);
}

static int read_file(struct unit *unit, const char *path, const struct reason *reason)
{
	int result = unit_file_read(&unit->file, path);

	return result == 0 ? 0 : refuse(reason, "%s: %s", path, strerror(-result));
}

/* systemctl quotes the paths as the words of a command line. */
static int read_files(struct unit *unit, const char *dropins, const struct reason *reason)
{
	CLEANUP(execline_deinit) struct execline paths = {0};
	char own[PATH_MAX];

	if (read_file(unit, unit->fragment, reason) < 0)
		return -1;
	if (!*dropins)
		return 0;
	if (execline_read(&paths, dropins) < 0)
		return refuse(reason, "the paths of its drop-ins cannot be read");
	dropin_path(unit->id, own, sizeof(own));
	for (size_t i = 0; i < paths.count; i++)
		if (strcmp(paths.words[i], own) != 0 && read_file(unit, paths.words[i], reason) < 0)
			return -1;
	return 0;
}

static int explain_state(const char *state, const struct reason *reason)
{
	if (!strcmp(state, "not-found"))
		return refuse(reason, "there is no such unit");
	if (!strcmp(state, "masked"))
		return refuse(reason, "the unit is masked; systemctl unmask it first");
	return refuse(reason, "systemd cannot load the unit (%s); see systemctl status", state);
}

int unit_load(struct unit *unit, const char *asked, const struct reason *reason)
{
	CLEANUP(string_free) char *text = NULL;
	char state[32] = "", dropins[64 * 1024] = "";

	*unit = (struct unit){0};
	if (full_name(asked, unit->id, sizeof(unit->id), reason) < 0 ||
	        show(unit->id, &text, reason) < 0)
		return -1;
	take_state(unit, text);
	name_instance(unit);
	(void)systemctl_property(text, "LoadState", state, sizeof(state));
	if (strcmp(state, "loaded") != 0)
		return explain_state(state, reason);
	if (!systemctl_property(text, "FragmentPath", unit->fragment, sizeof(unit->fragment)) ||
	        !*unit->fragment)
		return refuse(reason, "the unit has no file");
	(void)systemctl_property(text, "SourcePath", unit->source, sizeof(unit->source));
	(void)systemctl_property(text, "User", unit->user, sizeof(unit->user));
	(void)systemctl_property(text, "TriggeredBy", unit->triggered, sizeof(unit->triggered));
	(void)systemctl_property(text, "DropInPaths", dropins, sizeof(dropins));
	if (read_dropin(unit, reason) < 0)
		return -1;
	return read_files(unit, dropins, reason);
}

void unit_deinit(struct unit *unit)
{
	unit_file_deinit(&unit->file);
	string_free(&unit->dropin);
}
