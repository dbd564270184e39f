/* SPDX-License-Identifier: MIT */
/* Why a unit cannot be put under moult. */
#include "helper/unit/obstacle.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/check/check.h"
#include "helper/process/preload.h"
#include "helper/unit/systemctl.h"

/* ---- where moult is ---- */

int place_find(struct place *place, const struct reason *reason)
{
	char library[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", place->moult, sizeof(place->moult) - 1);

	if (length <= 0 || preload_library(library, sizeof(library)) < 0 ||
	        !realpath(library, place->library))
		return refuse(reason, "moult's own files cannot be found");
	place->moult[length] = '\0';
	for (const char *c = place->moult; *c; c++)
		if (strchr(" \t\n\"'\\$%;", *c))
			return refuse(reason, "%s: a unit cannot name such a path", place->moult);
	return 0;
}

bool unit_is_of_root(const struct unit *unit, const struct execline *start)
{
	if (execline_has_prefix(start, '+') || execline_has_prefix(start, '!'))
		return true;
	if (unit_file_is_true(&unit->file, "DynamicUser"))
		return false;
	return !*unit->user || !strcmp(unit->user, "root") || !strcmp(unit->user, "0");
}

/* May everybody execute or read the file?  The unit's user may be nobody in particular. */
static bool is_open(const char *path)
{
	char part[PATH_MAX];
	struct stat status;

	(void)snprintf(part, sizeof(part), "%s", path);
	if (stat(part, &status) < 0 || !(status.st_mode & S_IROTH))
		return false;
	for (char *slash = strrchr(part, '/'); slash && slash > part; slash = strrchr(part, '/')) {
		*slash = '\0';
		if (stat(part, &status) < 0 || !(status.st_mode & S_IXOTH))
			return false;
	}
	return true;
}

static bool lies_in(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	return !strncmp(path, directory, length) && path[length] == '/';
}

static int find_unreachable(const struct unit *unit, const struct execline *start,
        const struct place *place, const struct reason *reason)
{
	static const char *const homes[] = {"/home", "/root", "/run/user"};
	static const char *const private[] = {"/tmp", "/var/tmp"};
	const char *home = unit_file_value(&unit->file, "ProtectHome");
	const char *paths[] = {place->moult, place->library};

	for (size_t i = 0; i < COUNT(paths); i++) {
		if (!unit_is_of_root(unit, start) && !is_open(paths[i]))
			return refuse(reason,
			        "its user may not reach %s; install moult where everybody may",
			        paths[i]);
		for (size_t j = 0; j < COUNT(homes); j++)
			if (lies_in(paths[i], homes[j]) &&
			        (unit_file_is_true(&unit->file, "ProtectHome") ||
			                (home && !strcmp(home, "tmpfs"))))
				return refuse(reason,
				        "ProtectHome= hides %s from it; install moult elsewhere",
				        paths[i]);
		for (size_t j = 0; j < COUNT(private); j++)
			if (lies_in(paths[i], private[j]) &&
			        unit_file_is_true(&unit->file, "PrivateTmp"))
				return refuse(reason,
				        "PrivateTmp= hides %s from it; install moult elsewhere",
				        paths[i]);
	}
	return 0;
}

/* ---- the unit ---- */

static int find_type(const struct unit *unit, const struct reason *reason)
{
	static const struct {
		const char *type, *why;
	} refused[] = {
	        {"oneshot", "no process of it stays; if it stands for other units, enable those"},
	        {"dbus", "systemd waits for a name on the bus, which two generations cannot have"},
	        {"idle", "it starts when all else is done, and says nothing; set another type"},
	};
	const char *type = unit_file_value(&unit->file, "Type");

	if ((!type || !*type) && unit_file_value(&unit->file, "BusName"))
		type = "dbus";
	for (size_t i = 0; type && i < COUNT(refused); i++)
		if (!strcmp(type, refused[i].type))
			return refuse(reason, "its Type= is %s: %s", type, refused[i].why);
	return 0;
}

static int find_environment(
        const struct unit *unit, const struct execline *start, const struct reason *reason)
{
	static const char *const roots[] = {"RootDirectory", "RootImage"};
	const char *input = unit_file_value(&unit->file, "StandardInput");
	const char *preserve = unit_file_value(&unit->file, "RuntimeDirectoryPreserve");

	for (size_t i = 0; i < COUNT(roots); i++) {
		const char *root = unit_file_value(&unit->file, roots[i]);

		if (root && *root && strcmp(root, "/") != 0)
			return refuse(reason, "%s=%s: moult is not in there", roots[i], root);
	}
	if (input && !strcmp(input, "socket"))
		return refuse(reason, "StandardInput=socket: each connection has a process of its "
		                      "own, so the next one runs the new version without moult");
	if (unit_is_of_root(unit, start))
		return 0;
	if (unit_file_is_true(&unit->file, "DynamicUser") && preserve && *preserve &&
	        strcmp(preserve, "no") != 0 && strcmp(preserve, "false") != 0)
		return refuse(reason,
		        "DynamicUser= with RuntimeDirectoryPreserve=%s: the directory of the "
		        "control socket would be a symbolic link, which moult does not follow",
		        preserve);
	return 0;
}

static int find_command(
        const struct unit *unit, const struct execline *start, const struct reason *reason)
{
	if (*unit->source)
		return refuse(reason,
		        "systemd has made it from %s, which starts the daemon by itself; write a "
		        "unit, or change the script (see moult(8))",
		        unit->source);
	if (!strcmp(path_base(start->words[0]), "moult"))
		return refuse(reason, "it runs moult already");
	if (execline_has_prefix(start, '|'))
		return refuse(reason, "ExecStart=|...: a shell of the user runs the command");
	for (size_t i = 0; i < start->count; i++)
		if (!strcmp(start->words[i], ";"))
			return refuse(reason, "it has several ExecStart= commands");
	return 0;
}

/* ---- sockets of systemd ---- */

/* systemctl says "Listen=/run/x.sock (Stream)", a line for each. */
static int judge_listen(const char *socket, const struct reason *reason)
{
	static const char *const kinds[] = {"(Stream)", "(Datagram)", "(SequentialPacket)"};
	const char *words[] = {"show", "-p", "Listen", "--", socket, NULL};
	CLEANUP(string_free) char *text = NULL;

	if (systemctl_read(words, &text) != 0)
		return 0;
	for (const char *at = strchr(text, '('); at; at = strchr(at + 1, '(')) {
		bool known = false;

		for (size_t i = 0; i < COUNT(kinds); i++)
			known = known || !strncmp(at, kinds[i], strlen(kinds[i]));
		if (!known)
			return refuse(reason, "%s: moult hands over no %.*s", socket,
			        (int)strcspn(at + 1, ")\n"), at + 1);
	}
	return 0;
}

static int find_sockets(const struct unit *unit, const struct reason *reason)
{
	char names[sizeof(unit->triggered)], value[64], *next = names;
	const char *name;

	memcpy(names, unit->triggered, sizeof(names));
	while ((name = strsep(&next, " "))) {
		const char *suffix = strrchr(name, '.');

		if (!suffix || strcmp(suffix, ".socket") != 0)
			continue;
		if (!unit_property(name, "ActiveState", value, sizeof(value)) ||
		        strcmp(value, "active") != 0)
			continue;
		if (unit_property(name, "Accept", value, sizeof(value)) && !strcmp(value, "yes"))
			return refuse(reason,
			        "%s has Accept=yes: it starts a process for each "
			        "connection, so there is nothing to upgrade",
			        name);
		if (judge_listen(name, reason) < 0)
			return -1;
	}
	return 0;
}

int obstacle_find(const struct unit *unit, const struct execline *start, const struct place *place,
        const struct reason *reason)
{

	if (find_command(unit, start, reason) < 0 || find_type(unit, reason) < 0 ||
	        find_environment(unit, start, reason) < 0 ||
	        find_unreachable(unit, start, place, reason) < 0)
		return -1;
	return find_sockets(unit, reason);
}

/* ---- the command ---- */

int obstacle_check(const struct execline *start, bool has_aside, struct changes *changes,
        const struct reason *reason)
{
	static struct findings findings;
	const struct finding *refusal = check_find(start->words, &findings);

	if (refusal)
		return refuse(reason, "moult check: %s%s%s", refusal->text,
		        *refusal->advice ? "; " : "", refusal->advice);
	for (size_t i = 0; i < findings.count; i++) {
		const struct finding *finding = &findings.list[i];

		if (!strcmp(finding->id, "runs-once"))
			return refuse(
			        reason, "moult check: %s; %s", finding->text, finding->advice);
		if (finding->severity == SEVERITY_OK ||
		        (has_aside && (!strcmp(finding->id, "pid-file") ||
		                              !strcmp(finding->id, "data-lock"))))
			continue;
		changes_note(changes, "moult check: %s%s%s", finding->text,
		        *finding->advice ? "; " : "", finding->advice);
	}
	return 0;
}
