/* SPDX-License-Identifier: MIT */
/*
 * Which lines put a unit under moult.
 *
 * Type=notify is right on every version of systemd: with notify-reload, systemd hides that an
 * upgrade has failed.  RuntimeDirectory= is a directory of the unit's own: systemd removes it with
 * the unit, so that it must not be /run/moult, which is that of all instances.
 */
#include "helper/unit/plan.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "helper/base/units.h"
#include "helper/unit/commands.h"

enum { LISTENERS = 4096 }; /* for which a launcher has room */

static void plan_type(struct changes *changes, const struct unit *unit)
{
	const char *type = unit_file_value(&unit->file, "Type");
	const char *access = unit_file_value(&unit->file, "NotifyAccess");
	const char *file = unit_file_value(&unit->file, "PIDFile");

	if (!type || strcmp(type, "notify") != 0)
		changes_add(
		        changes, "moult tells systemd when the service is ready", "Type=notify");
	if (access && *access && strcmp(access, "main") != 0)
		changes_add(changes, "moult speaks for the daemon, and is the main process",
		        "NotifyAccess=main");
	if (file && *file)
		changes_add(changes,
		        "the main process is moult, also after an upgrade; systemd would take the "
		        "daemon for it",
		        "PIDFile=");
}

static void plan_kill(struct changes *changes, const struct unit *unit)
{
	const char *mode = unit_file_value(&unit->file, "KillMode");
	bool is_process = mode && !strcmp(mode, "process");

	if (is_process)
		changes_note(changes,
		        "KillMode=process stays: if moult is killed, the daemon lives "
		        "on, and the unit cannot start until somebody ends it");
	else if (!mode || strcmp(mode, "mixed") != 0)
		changes_add(changes,
		        "at a stop only moult gets the signal; it ends the daemon when the "
		        "connections are done",
		        "KillMode=mixed");
	if (unit_file_is_true(&unit->file, "SendSIGHUP"))
		changes_add(changes, "SIGHUP to moult means an upgrade", "SendSIGHUP=no");
}

static void plan_signal(struct changes *changes, const struct unit *unit)
{
	static const char *const keys[] = {"KillSignal", "RestartKillSignal"};

	for (size_t i = 0; i < COUNT(keys); i++) {
		const char *name = unit_file_value(&unit->file, keys[i]);
		int number;

		if (name && *name && signal_parse(name, &number) == 0 && number != SIGTERM)
			changes_add(changes,
			        "SIGTERM stops moult, which sends the daemon its own signal",
			        "%s=SIGTERM", keys[i]);
	}
}

static void plan_privileges(
        struct changes *changes, const struct unit *unit, const struct execline *start)
{
	static const struct {
		const char *name, *why;
	} needed[] = {
	        {"CAP_KILL", "moult ends generations of the daemon's user"},
	        {"CAP_SYS_PTRACE", "moult counts the connections of each generation"},
	        {"CAP_DAC_OVERRIDE", "moult puts files of the daemon's user aside"},
	};
	static const struct {
		const char *name, *why;
	} families[] = {
	        {"AF_UNIX", "moult takes commands, and answers the daemon"},
	        {"AF_NETLINK", "the kernel tells moult which connections are open"},
	};
	bool is_set;

	for (size_t i = 0; i < COUNT(needed) && unit_is_of_root(unit, start); i++)
		if (!unit_file_allows(
		            &unit->file, "CapabilityBoundingSet", needed[i].name, true, &is_set) &&
		        is_set)
			changes_add(
			        changes, needed[i].why, "CapabilityBoundingSet=%s", needed[i].name);
	for (size_t i = 0; i < COUNT(families); i++)
		if (!unit_file_allows(&unit->file, "RestrictAddressFamilies", families[i].name,
		            false, &is_set) &&
		        is_set)
			changes_add(changes, families[i].why, "RestrictAddressFamilies=%s",
			        families[i].name);
}

/* The launcher and the keepers are not dumpable, and such a process is hidden from its own user. */
static void plan_proc(
        struct changes *changes, const struct unit *unit, const struct execline *start)
{
	const char *protect = unit_file_value(&unit->file, "ProtectProc");

	if (protect && *protect && strcmp(protect, "default") != 0 && !unit_is_of_root(unit, start))
		changes_add(changes, "moult is not root, and has to see its own processes in /proc",
		        "ProtectProc=default");
}

static void plan_paths(struct changes *changes, const struct unit *unit, const struct place *place)
{
	const char *values[4];

	/* The launcher asks systemctl whether systemd restarts the service (lifecycle/unit_job.c). */
	if (unit_file_list(&unit->file, "NoExecPaths", values, COUNT(values)) > 0)
		changes_add(changes,
		        "NoExecPaths= would keep moult from starting, and from asking systemd",
		        "ExecPaths=%s %s /usr/bin/systemctl", place->moult, place->library);
}

/* The launcher puts its control socket below the first RuntimeDirectory= if it may not use /run. */
static void plan_directory(
        struct changes *changes, const struct unit *unit, const struct execline *start)
{
	const char *system = unit_file_value(&unit->file, "ProtectSystem");
	const char *values[1];
	bool of_root = unit_is_of_root(unit, start);

	if ((of_root && (!system || strcmp(system, "strict") != 0)) ||
	        unit_file_list(&unit->file, "RuntimeDirectory", values, COUNT(values)) > 0)
		return;
	changes_add(changes,
	        of_root ? "ProtectSystem=strict: moult needs a directory for its control socket"
	                : "moult is not root, and needs a directory for its control socket",
	        "RuntimeDirectory=moult-%s", unit->name);
}

static void plan_store(struct changes *changes, const struct unit *unit)
{
	const char *max = unit_file_value(&unit->file, "FileDescriptorStoreMax");

	if (!max || atoi(max) < LISTENERS)
		changes_add(changes,
		        "systemd keeps the listening sockets over a restart: clients wait, and "
		        "nobody is refused",
		        "FileDescriptorStoreMax=%d", LISTENERS);
}

int plan_make(struct changes *changes, const struct unit *unit, const struct place *place,
        char *const *options, const struct reason *reason)
{
	CLEANUP(execline_deinit) struct execline start = {0};
	bool has_aside;

	*changes = (struct changes){0};
	if (commands_read_start(&start, unit, reason) < 0 ||
	        obstacle_find(unit, &start, place, reason) < 0)
		return -1;
	plan_type(changes, unit);
	has_aside = commands_plan_start(changes, unit, &start, place, options);
	commands_plan_reload(changes, unit, &start, place);
	commands_plan_stop(changes, unit);
	plan_kill(changes, unit);
	plan_signal(changes, unit);
	plan_privileges(changes, unit, &start);
	plan_proc(changes, unit, &start);
	plan_paths(changes, unit, place);
	plan_directory(changes, unit, &start);
	plan_store(changes, unit);
	if (obstacle_check(&start, has_aside, changes, reason) < 0)
		return -1;
	if (changes->failed)
		return refuse(reason, "out of memory");
	return 0;
}
