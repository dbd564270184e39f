/* SPDX-License-Identifier: MIT */
/* What has to be known about single daemons. */
#include "helper/unit/quirks.h"

#include <stdio.h>
#include <string.h>

#include "helper/base/util.h"

/* The first row that matches counts. */
static const struct quirk quirks[] = {
        {
                .program = "nginx",
                .edits = {{"daemon on;", "daemon off;"}},
                .append = "-g 'daemon off;'",
                .unless = "daemon off;",
                .why = "in the foreground a killed master is noticed at once",
        },
        {
                .program = "apache*ctl",
                .edits = {{"start", "-DFOREGROUND -k start"}},
                .aside = "/run/apache2/apache2.pid",
                .why = "in the foreground a killed parent is noticed at once; apache does not "
                       "start while its pid file names a process",
        },
        {
                .program = "redis-server",
                .edits = {{"--daemonize yes", "--daemonize no"}},
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --kill-after=5m",
                .why = "it saves its data at its end, and reads them at its start",
        },
        {
                .program = "valkey-server",
                .edits = {{"--daemonize yes", "--daemonize no"}},
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --kill-after=5m",
                .why = "it saves its data at its end, and reads them at its start",
        },
        {
                .program = "sshd",
                .options = "--drain-timeout=infinity --leave-sessions",
                .aside = "/run/sshd.pid",
                .why = "a session lives on as long as its user wants, also over a restart",
        },
        {
                /* 9.20 has garbage behind the name of an address that is no file */
                .program = "named",
                .options = "--ready=serving",
                .why = "it cannot send its READY=1 to the address that moult gives it",
        },
        {
                .program = "dovecot",
                .aside = "/run/dovecot/master.pid",
                .why = "it does not start while its pid file names a process",
        },
        {
                .program = "postfix",
                .options = "--no-overlap",
                .why = "it locks its queue",
        },
        {
                .program = "postmulti",
                .options = "--no-overlap",
                .why = "it locks its queue",
        },
        {
                .program = "pg_ctlcluster",
                .edits = {{"--skip-systemctl-redirect", "--skip-systemctl-redirect --foreground"}},
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --stop-signal=INT "
                           "--kill-after=5m",
                .why = "it locks its data; SIGINT ends the sessions, and then the server",
        },
        {
                .program = "postgres",
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --stop-signal=INT "
                           "--kill-after=5m",
                .why = "it locks its data; SIGINT ends the sessions, and then the server",
        },
        {
                .program = "postmaster",
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --stop-signal=INT "
                           "--kill-after=5m",
                .why = "it locks its data; SIGINT ends the sessions, and then the server",
        },
        {
                .program = "mariadbd",
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --kill-after=5m",
                .why = "it locks its data",
        },
        {
                .program = "mysqld",
                .options = "--no-overlap --drain-timeout=1s --stop-timeout=1s --kill-after=5m",
                .why = "it locks its data",
        },
};

const struct quirk *quirk_find(const struct execline *line)
{
	for (size_t i = 0; i < COUNT(quirks); i++)
		if (execline_starts(line, quirks[i].program))
			return &quirks[i];
	return NULL;
}

bool quirk_edit(const struct quirk *quirk, bool forks, char **text)
{
	bool has_changed = false;
	char *longer;

	for (size_t i = 0; i < COUNT(quirk->edits); i++) {
		const char *by = quirk->edits[i].by;

		/* Not twice: the new words may hold the old ones */
		if (by && !execline_find(*text, by) &&
		        execline_replace(text, quirk->edits[i].part, by))
			has_changed = true;
	}
	if (!forks || !quirk->append || strstr(*text, quirk->unless))
		return has_changed;
	if (asprintf(&longer, "%s %s", *text, quirk->append) < 0)
		return has_changed;
	free(*text);
	*text = longer;
	return true;
}
